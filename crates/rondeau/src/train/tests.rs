//! The loop, with updates whose results can be told beforehand.

use std::fs;

use super::*;
use crate::io::{Checkpoints, safetensors};
use crate::{Array, DType, Error, Result, random};

/// Counts its updates in the parameters; the loss is the mean of the batch.
fn count(params: &Array, (): &(), batch: &Array, _: &Array) -> (Array, (), Array) {
    (params + 1.0, (), batch.mean())
}

fn ten() -> Rows<Array> {
    Rows::of(Array::arange(10).to(DType::F32)).unwrap()
}

fn zero() -> Array {
    Array::from(0.0_f32)
}

/// Losses as a script tells them, epoch by epoch.
fn script(losses: &[f64]) -> impl FnMut(&Array) -> Result<f64> + '_ {
    let mut losses = losses.iter();
    move |_| Ok(*losses.next().expect("one for each epoch"))
}

#[test]
fn the_best_epoch_is_kept_and_patience_ends() {
    let losses = [3.0, 1.0, 0.5, 0.6, 0.5, 9.0, 0.0];
    let run = |patience| {
        let trainer = Trainer::new(count).batch_size(5).epochs(7).validate(script(&losses));
        trainer.patience(patience).run(zero(), (), &ten()).unwrap()
    };
    let trained = run(3);
    assert_eq!((trained.best_epoch, trained.epochs.len()), (3, 6));
    assert_eq!((trained.ended, trained.steps), (Ended::NoProgress, 12));
    assert_eq!(trained.best.item::<f32>().unwrap(), 6.0);
    assert_eq!(trained.params.item::<f32>().unwrap(), 12.0);
    let trained = run(7);
    assert_eq!((trained.best_epoch, trained.epochs.len()), (7, 7));
    assert_eq!(trained.ended, Ended::AllEpochs);
    assert_eq!(trained.epochs[2].validation, Some(0.5));
}

/// Remembers all batches.
struct Seen(std::cell::RefCell<Vec<Vec<usize>>>);

impl Data for Seen {
    type Batch = Array;

    fn len(&self) -> usize {
        11
    }

    fn batch(&self, rows: &[usize]) -> Result<Array> {
        self.0.borrow_mut().push(rows.to_vec());
        Ok(Array::from(0.0_f32))
    }
}

#[test]
fn every_example_is_seen_once_an_epoch_but_for_the_rest() {
    let seen = |trainer: Trainer<'_, Array, (), Array, Array>| {
        let data = Seen(std::cell::RefCell::default());
        trainer.epochs(2).batch_size(5).run(zero(), (), &data).unwrap();
        data.0.into_inner()
    };
    let in_order = seen(Trainer::new(count).in_order());
    assert_eq!(in_order, [0..5, 5..10, 0..5, 5..10].map(Vec::from_iter));
    let shuffled = seen(Trainer::new(count));
    assert_eq!(shuffled, seen(Trainer::new(count)));
    assert_ne!(shuffled, seen(Trainer::new(count).key(random::key(1))));
    for epoch in shuffled.chunks(2) {
        let mut all = epoch.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10);
    }
    assert_ne!(shuffled[..2], shuffled[2..]);
}

#[test]
fn keys_differ_from_step_to_step() {
    let draw = |params: &Vec<Array>, (): &(), _: &Array, key: &Array| {
        let next = vec![key.clone(), params[0].clone(), params[1].clone()];
        (next, (), Array::from(0.0_f32))
    };
    let start = vec![Array::from([0_u32, 0]); 3];
    let trained = Trainer::new(draw).batch_size(3).run(start, (), &ten()).unwrap();
    let keys: Vec<Vec<u32>> = trained.params.iter().map(|key| key.to_vec().unwrap()).collect();
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

#[test]
fn logs_hold_every_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("log.csv");
    let losses = [0.5, 0.25];
    let trainer = Trainer::new(count).batch_size(10).epochs(2).validate(script(&losses));
    let events = dir.path().join("events");
    trainer.csv(&csv).tensorboard(&events).run(zero(), (), &ten()).unwrap();
    let text = fs::read_to_string(&csv).unwrap();
    assert_eq!(text, "epoch,step,loss,validation\n1,1,4.5,0.5\n2,2,4.5,0.25\n");
    let files: Vec<_> = fs::read_dir(&events).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let bytes = fs::read(&files[0]).unwrap();
    for tag in ["brain.Event:2", "train/loss", "epoch/loss", "epoch/validation"] {
        assert!(bytes.windows(tag.len()).any(|window| window == tag.as_bytes()), "{tag}");
    }
}

#[test]
fn a_run_goes_on_with_more_epochs_and_refuses_another_set_up() {
    let dir = tempfile::tempdir().unwrap();
    let trainer = |epochs| {
        let checkpoints = Checkpoints::in_dir(dir.path(), 2).unwrap();
        Trainer::new(count).batch_size(5).epochs(epochs).checkpoints(checkpoints, 100).resume()
    };
    assert_eq!(trainer(2).run(zero(), (), &ten()).unwrap().steps, 4);
    // Nothing is left to do.
    assert_eq!(trainer(2).run(zero(), (), &ten()).unwrap().steps, 4);
    let trained = trainer(3).run(zero(), (), &ten()).unwrap();
    assert_eq!((trained.steps, trained.epochs.len()), (6, 3));
    assert_eq!(trained.params.item::<f32>().unwrap(), 6.0);
    let best = safetensors::load(dir.path().join("best.safetensors"), &zero()).unwrap();
    assert_eq!(best.item::<f32>().unwrap(), trained.best.item::<f32>().unwrap());

    let error = trainer(3).batch_size(2).in_order().run(zero(), (), &ten()).unwrap_err();
    insta::assert_snapshot!(error, @"
    the checkpoint is of a run that was set up otherwise
      batch_size is 2 and was 5
      shuffled is false and was true
    help: set the run up as it was, or start afresh in another directory
    ");
    let error = trainer(3).run(Array::zeros([2]), (), &ten()).unwrap_err().to_string();
    assert!(error.contains("`params.value` is stored as f32[] and should be f32[2]"), "{error}");
}

fn refused(result: Result<Trained<Array, ()>>) -> Error {
    result.map(drop).unwrap_err()
}

#[test]
fn mistakes_are_told() {
    let told = [
        refused(Trainer::new(count).run(zero(), (), &ten())),
        refused(Trainer::new(count).batch_size(0).run(zero(), (), &ten())),
        Rows::of((Array::zeros([2, 3]), Array::zeros([3]))).map(drop).unwrap_err(),
        Rows::of(zero()).map(drop).unwrap_err(),
        refused(
            Trainer::new(|p: &Array, (): &(), b: &Array, _: &Array| (p.clone(), (), b.clone()))
                .batch_size(5)
                .run(zero(), (), &ten()),
        ),
        refused(
            Trainer::new(|p: &Array, (): &(), _: &Array, _: &Array| (p.clone(), (), ()))
                .batch_size(5)
                .run(zero(), (), &ten()),
        ),
        refused(
            Trainer::new(|p: &Array, (): &(), b: &Array, _: &Array| (p + b, (), b.mean()))
                .batch_size(5)
                .run(zero(), (), &ten()),
        ),
        refused(
            Trainer::new(|p: &Array, (): &(), b: &Array, _: &Array| {
                (p - 1.0, (), (b + p).log().mean())
            })
            .batch_size(5)
            .epochs(9)
            .run(zero(), (), &ten()),
        ),
        refused(Trainer::new(count).batch_size(5).validate(|_| Ok(f64::NAN)).run(
            zero(),
            (),
            &ten(),
        )),
    ];
    let told: Vec<String> = told.iter().map(Error::to_string).collect();
    insta::assert_snapshot!(told.join("\n\n"), @"
    there are 10 examples, and a batch takes 32
    help: take a smaller `batch_size`, at least 1, or more examples

    there are 10 examples, and a batch takes 0
    help: take a smaller `batch_size`, at least 1, or more examples

    the arrays of a data set need one first axis, that of the examples
      0 is f32[2,3]
      1 is f32[3]
    help: give each array a row for each example; what they share belongs to the step

    the arrays of a data set need one first axis, that of the examples
      the array is f32[]
    help: give each array a row for each example; what they share belongs to the step

    the metric `loss` is no single number
      got f32[5]
    help: return means over the batch, with the loss first

    the update returns no metrics
    help: return the loss at least, which is what training is judged by

    the update must keep the types of the parameters
      it takes  f32[]
      it returns f32[5]
    help: return them as they came in, for example with `.to(dtype)`

    `loss` is -inf after step 1, in epoch 1
    help: take smaller steps or clip the gradient; to see where it begins, set `debug_nonfinite` and go on from the last checkpoint

    the validation loss is NaN after epoch 1
    help: take smaller steps or clip the gradient; to see where it begins, set `debug_nonfinite` and go on from the last checkpoint
    ");
}

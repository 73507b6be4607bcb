//! The rules that every program keeps. Passes rely on them, and debug builds check them after
//! each pass:
//!
//! - Variables are numbered in the order in which they are bound: inputs first, then the outputs
//!   of each equation. So each is bound once, and there are no others.
//! - What an equation reads is bound before it. What the program returns is bound in it.
//! - The outputs of an equation have the types that its primitive infers from its inputs.
//! - No type takes more than [`MAX_BYTES`](crate::buffer::MAX_BYTES).
//! - Each input has a user's name or an empty one. Names are made of `A-Z a-z 0-9 _ .`, and no two
//!   are equal.
//! - Programs in parameters keep the same rules by themselves: nothing is seen from outside.

use super::print::is_name;
use super::{Atom, Aval, Eqn, Program, Var};
use crate::error::{Error, Result};

impl Program {
    /// Whether the program keeps the rules of the language.
    ///
    /// # Errors
    /// The first rule that is broken, with the equations around the fault.
    pub fn check(&self) -> Result<()> {
        self.find_fault().map_err(|Fault { what, around }| Error::ill_formed(what, &around))
    }

    fn find_fault(&self) -> Result<(), Fault> {
        let mut bound = 0;
        let at = |i| move |what| Fault { what, around: self.excerpt(i) };
        self.check_inputs(&mut bound)
            .map_err(|what| Fault { what, around: self.excerpt_inputs() })?;
        for (i, eqn) in self.eqns.iter().enumerate() {
            let name = eqn.prim.name();
            // First, since inferring types reads the bodies.
            for body in eqn.prim.bodies() {
                body.find_fault().map_err(|Fault { what, around }| Fault {
                    what: format!("in equation {i}, inside `{name}`: {what}"),
                    around,
                })?;
            }
            self.check_eqn(eqn, &mut bound).map_err(at(i))?;
        }
        self.check_outputs(bound).map_err(at(self.eqns.len()))
    }

    fn check_inputs(&self, bound: &mut usize) -> Result<(), String> {
        for &var in &self.inputs {
            self.bind(var, bound)?;
            let aval = self.var_aval(var);
            if !aval.shape.is_reasonable(aval.dtype.size()) {
                return Err(format!("an input of type {aval} is too large"));
            }
        }
        let (n, n_names) = (self.inputs.len(), self.names.len());
        if n != n_names {
            return Err(format!("{n} inputs have {n_names} names"));
        }
        let mut names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        names.retain(|name| !name.is_empty());
        if let Some(name) = names.iter().find(|name| !is_name(name)) {
            return Err(format!("an input is named {name:?}, which does not read back"));
        }
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("two inputs are named `{}`", pair[0])),
            None => Ok(()),
        }
    }

    fn check_eqn(&self, eqn: &Eqn, bound: &mut usize) -> Result<(), String> {
        for &atom in &eqn.inputs {
            self.is_bound(atom, *bound)?;
        }
        for &var in &eqn.outputs {
            self.bind(var, bound)?;
        }
        let inputs: Vec<Aval> = eqn.inputs.iter().map(|&atom| self.aval(atom)).collect();
        let says: Vec<Aval> = eqn.outputs.iter().map(|&var| self.var_aval(var).clone()).collect();
        fit(eqn, &inputs, &says)
    }

    fn check_outputs(&self, bound: usize) -> Result<(), String> {
        for &atom in &self.outputs {
            self.is_bound(atom, bound)?;
        }
        match self.n_vars() {
            n if n == bound => Ok(()),
            n => Err(format!("{n} variables have types, and {bound} are bound")),
        }
    }

    fn is_bound(&self, atom: Atom, bound: usize) -> Result<(), String> {
        match atom {
            Atom::Var(var) if var.index() >= bound => {
                Err(format!("`{}` is read before it is bound", self.print_var(var)))
            }
            Atom::Var(_) | Atom::Lit(_) => Ok(()),
        }
    }

    /// Accepts the binding of a variable if it is the next in number.
    fn bind(&self, var: Var, bound: &mut usize) -> Result<(), String> {
        let i = var.index();
        if i < *bound {
            return Err(format!("`{}` is bound twice", self.print_var(var)));
        }
        if i > *bound {
            return Err(format!("variable {i} is bound where {bound} comes next"));
        }
        if i >= self.n_vars() {
            return Err(format!("variable {i} has no type"));
        }
        *bound += 1;
        Ok(())
    }
}

/// Whether an equation's outputs have the types that its primitive infers.
pub(super) fn fit(eqn: &Eqn, inputs: &[Aval], says: &[Aval]) -> Result<(), String> {
    let name = eqn.prim.name();
    let infers =
        eqn.prim.infer(inputs).map_err(|misfit| format!("`{name}`: {}", misfit.message))?;
    if infers == says {
        return Ok(());
    }
    Err(format!("`{name}` gives {}, and is said to give {}", list(&infers), list(says)))
}

fn list(avals: &[Aval]) -> String {
    match avals {
        [] => "nothing".to_owned(),
        avals => avals.iter().map(Aval::to_string).collect::<Vec<_>>().join(" "),
    }
}

/// A broken rule.
struct Fault {
    what: String,
    around: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::DType;
    use crate::ir::Builder;
    use crate::prim::Prim;

    fn good() -> Program {
        let mut b = Builder::new();
        let x = b.named_input(Aval::new(DType::F32, [3]), "x".to_owned());
        let n = b.named_input(Aval::scalar(DType::F32), "n".to_owned());
        let y = b.mul(x, n);
        let z = b.neg(y);
        b.finish(vec![z, x])
    }

    /// What `check` says of `good` after an edit.
    fn fault(edit: impl FnOnce(&mut Program)) -> String {
        let mut program = good();
        edit(&mut program);
        program.check().expect_err("the edit breaks a rule").to_string()
    }

    #[test]
    fn builders_make_programs_that_keep_the_rules() {
        assert!(good().check().is_ok());
        for (prim, avals) in Prim::examples() {
            let mut b = Builder::new();
            let inputs = b.inputs(&avals);
            let outputs = b.bind(prim, &inputs);
            let program = b.finish(outputs);
            assert!(program.check().is_ok(), "{:?}\n{program}", program.check());
        }
    }

    #[test]
    fn wrong_types_are_shown_with_what_the_primitive_infers() {
        insta::assert_snapshot!(fault(|p| p.avals[2] = Aval::new(DType::F32, [4])), @r"
        `mul` gives f32[3], and is said to give f32[4]
                | lambda .x:f32[3] .n:f32[] .
          --> 0 | a:f32[4] = mul .x .n
              1 | b:f32[3] = neg a
                | in (b, .x)
        ");
        insta::assert_snapshot!(fault(|p| p.avals[1] = Aval::scalar(DType::I32)), @r"
        `mul`: f32 and i32 are different element types
                | lambda .x:f32[3] .n:i32[] .
          --> 0 | a:f32[3] = mul .x .n
              1 | b:f32[3] = neg a
                | in (b, .x)
        ");
        insta::assert_snapshot!(fault(|p| p.avals[0] = Aval::new(DType::F32, [1 << 40])), @r"
        an input of type f32[1099511627776] is too large
          -->   | lambda .x:f32[1099511627776] .n:f32[] .
              0 | a:f32[3] = mul .x .n
              1 | b:f32[3] = neg a
        ");
        insta::assert_snapshot!(fault(|p| p.eqns[0].inputs.truncate(1)), @r"
        `mul`: takes 2 inputs, and there are 1
                | lambda .x:f32[3] .n:f32[] .
          --> 0 | a:f32[3] = mul .x
              1 | b:f32[3] = neg a
                | in (b, .x)
        ");
    }

    #[test]
    fn wrong_bindings_are_shown_where_they_are() {
        insta::assert_snapshot!(fault(|p| p.eqns.swap(0, 1)), @r"
        `b` is read before it is bound
                | lambda .x:f32[3] .n:f32[] .
          --> 0 | a:f32[3] = neg b
              1 | b:f32[3] = mul .x .n
                | in (a, .x)
        ");
        insta::assert_snapshot!(fault(|p| p.eqns[1].outputs[0] = Var(2)), @r"
        `a` is bound twice
                | lambda .x:f32[3] .n:f32[] .
              0 | a:f32[3] = mul .x .n
          --> 1 | a:f32[3] = neg a
                | in (?3, .x)
        ");
        insta::assert_snapshot!(fault(|p| p.eqns[1].outputs[0] = Var(9)), @r"
        variable 9 is bound where 3 comes next
                | lambda .x:f32[3] .n:f32[] .
              0 | a:f32[3] = mul .x .n
          --> 1 | ?9:? = neg a
                | in (?3, .x)
        ");
        insta::assert_snapshot!(fault(|p| p.eqns[0].inputs[1] = Atom::Var(Var(2))), @r"
        `a` is read before it is bound
                | lambda .x:f32[3] .n:f32[] .
          --> 0 | a:f32[3] = mul .x a
              1 | b:f32[3] = neg a
                | in (b, .x)
        ");
        insta::assert_snapshot!(fault(|p| p.outputs[0] = Atom::Var(Var(7))), @r"
        `?7` is read before it is bound
              0 | a:f32[3] = mul .x .n
              1 | b:f32[3] = neg a
          -->   | in (?7, .x)
        ");
        insta::assert_snapshot!(fault(|p| drop(p.avals.pop())), @r"
        variable 3 has no type
                | lambda .x:f32[3] .n:f32[] .
              0 | a:f32[3] = mul .x .n
          --> 1 | ?3:? = neg a
                | in (?3, .x)
        ");
        insta::assert_snapshot!(fault(|p| p.avals.push(Aval::scalar(DType::F32))), @r"
        5 variables have types, and 4 are bound
              0 | a:f32[3] = mul .x .n
              1 | b:f32[3] = neg a
          -->   | in (b, .x)
        ");
    }

    #[test]
    fn names_must_read_back() {
        insta::assert_snapshot!(fault(|p| p.names[0] = "a b".to_owned()), @r#"
        an input is named "a b", which does not read back
          -->   | lambda a:f32[3] .n:f32[] .
              0 | b:f32[3] = mul a .n
              1 | c:f32[3] = neg b
        "#);
        insta::assert_snapshot!(fault(|p| p.names[0] = "n".to_owned()), @r"
        two inputs are named `n`
          -->   | lambda .n:f32[3] a:f32[] .
              0 | b:f32[3] = mul .n a
              1 | c:f32[3] = neg b
        ");
        insta::assert_snapshot!(fault(|p| drop(p.names.pop())), @r"
        2 inputs have 1 names
          -->   | lambda .x:f32[3] a:f32[] .
              0 | b:f32[3] = mul .x a
              1 | c:f32[3] = neg b
        ");
    }
}

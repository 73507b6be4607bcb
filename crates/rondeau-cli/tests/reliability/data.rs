//! CSV: tables of a series, and labelled sequences, which are read from .ts too.

use rondeau_cli::data::sequences::Sequences;
use rondeau_cli::data::{self, Calendar, DataError, Limits, Source, Table, Wanted, prepare};

use crate::harness::{Case, Mutation, Tally, count, leave, told};

/// Texts that mean something in these formats.
const WORDS: [&[u8]; 26] = [
    b",",
    b"\n",
    b"\r\n",
    b"\"",
    b"\"\"",
    b";",
    b"\t",
    b"sequence",
    b"label",
    b"date",
    b"x,x",
    b"2012-02-30",
    b"9999-12-31T23:59:59Z",
    b"0000-01-01",
    b"1e308",
    b"-1e31",
    b"nan",
    b"inf",
    b"?",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b"@data\n",
    b"@classLabel true\n",
    b"@timeStamps true\n",
    b":",
];

/// Reads a series with all of its columns, and makes of it what training needs.
fn series(bytes: &[u8]) -> Result<(), DataError> {
    let wanted = Wanted { named: vec![], others: true };
    let source = Source { name: "a.csv".to_owned(), text: bytes };
    let table = Table::read(source, &wanted, Limits::default())?;
    for column in &table.columns {
        assert_eq!(column.values.len(), table.n_rows);
        assert!(column.values.iter().all(|x| x.is_finite()));
    }
    assert!(table.dates.as_ref().is_none_or(|dates| dates.moments.len() == table.n_rows));
    if let Some(target) = table.columns.first() {
        // Few rows are refused here, which is no fault of the file.
        if let Ok(ready) = prepare(&table, &target.name, 2, Calendar::WhereSensible) {
            let n_train = ready.split.train.len();
            let n_numbers = ready.windows(ready.split.train.clone()).len();
            assert_eq!(n_numbers, n_train * ready.n_inputs() * ready.window);
            assert!(ready.changes(ready.split.train.clone()).iter().all(|x| x.is_finite()));
        }
    }
    Ok(())
}

/// Reads labelled sequences.
fn sequences(bytes: &[u8]) -> Result<(), DataError> {
    let read = Sequences::read("a", bytes)?;
    for sequence in &read.sequences {
        assert!(sequence.values.len() % read.n_channels() == 0 && !sequence.values.is_empty());
        assert!(sequence.values.iter().all(|x| x.is_finite()));
    }
    assert!(read.longest() > 0);
    Ok(())
}

#[test]
fn series_with_accidents() {
    let weather: String =
        data::SEATTLE_WEATHER.lines().take(25).map(|row| format!("{row}\n")).collect();
    let seeds = [
        weather.into_bytes(),
        b"date;x;\"y\"\r\n2012-01-01 10:00;1;2\r\n\r\n2012-01-02 10:00;\"1\n\";3.5\r\n".to_vec(),
        b"x\ty\n1\t2\n3\t4\n5\t6\n".to_vec(),
        b"\xef\xbb\xbfx,note\n1,red\n-2e5,\"a \"\"b\"\"\"\n3,blue".to_vec(),
    ];
    let mutation = Mutation { seeds: &seeds, words: &WORDS, repair: leave };
    mutation.survive("CSV series, mutated", count(1_000_000, 20_000), |b| series(b).is_ok());
}

#[test]
fn sequences_with_accidents() {
    let seeds = [
        b"sequence,a,label,b\n1,1,x,4\n1,2,x,5\n2,3,\"x,y\",6\n2,-7e3,\"x,y\",8\n".to_vec(),
        b"# two cases\n@problemName a\n@timeStamps false\n@classLabel true x y\n@data\n\
          1,2,3:4,5,6:x\n7:8:y\n"
            .to_vec(),
        b"@data\n1,2\n3,4,5\n".to_vec(),
    ];
    let mutation = Mutation { seeds: &seeds, words: &WORDS, repair: leave };
    let n = count(1_000_000, 20_000);
    mutation.survive("CSV and .ts sequences, mutated", n, |bytes| sequences(bytes).is_ok());
}

/// Rows below a header of `x`.
fn below(rows: &str) -> Vec<u8> {
    format!("x\n{rows}").into_bytes()
}

fn wide(n: usize, rows: &[&str]) -> Vec<u8> {
    let header: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
    let rows = rows.iter().map(|field| vec![*field; n].join(",") + "\n").collect::<String>();
    format!("{}\n{rows}", header.join(",")).into_bytes()
}

fn cases() -> Vec<Case> {
    vec![
        ("empty", vec![]),
        ("one byte", b"x".to_vec()),
        ("zeros", vec![0; 1000]),
        ("a line end", b"\n".to_vec()),
        ("100,000 line ends", vec![b'\n'; 100_000]),
        ("100,000 returns", vec![b'\r'; 100_000]),
        ("100,000 commas", vec![b','; 100_000]),
        ("100,000 quotes", vec![b'"'; 100_000]),
        ("100,001 quotes", vec![b'"'; 100_001]),
        ("a byte order mark alone", b"\xef\xbb\xbf".to_vec()),
        ("two byte order marks", b"\xef\xbb\xbf\xef\xbb\xbfx\n1\n2\n".to_vec()),
        ("UTF-16", "x,y\n1,2\n3,4\n".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("not UTF-8", b"x,\xff\n1,2\n3,4\n".to_vec()),
        ("half a character", b"x\n\xc3\n\xc3\n\xc3\n".to_vec()),
        ("a header alone", b"x,y\n".to_vec()),
        ("a header without an end", b"x,y".to_vec()),
        ("a header of numbers", b"1,2\n3,4\n5,6\n".to_vec()),
        ("a header of nothing", b",,\n1,2,3\n4,5,6\n".to_vec()),
        ("a name twice", b"x,x\n1,2\n3,4\n".to_vec()),
        ("a name twice, but for spaces", b"x, x \n1,2\n3,4\n".to_vec()),
        ("the name of a column without one", b",column 1\n1,2\n3,4\n".to_vec()),
        ("a name with an escape sequence", b"\x1b[2J,y\n1,2\n3,z\n".to_vec()),
        ("a name of a line end", b"\"\n\",y\n1,2\n3,4\n".to_vec()),
        ("a name of 500,000 letters", [vec![b'x'; 500_000], b"\n1\n2\n".to_vec()].concat()),
        ("10,001 columns", wide(10_001, &["1"])),
        ("10,000 columns of numbers", wide(10_000, &["1", "2", "3"])),
        ("10,000 columns of words", wide(10_000, &["a", "b", "c", "d", "e", "f"])),
        ("10,000 columns of empty fields", wide(10_000, &["", "", "", "", "", ""])),
        ("10,000 columns of dates that go back", {
            wide(10_000, &["2012-01-06", "2012-01-05", "2012-01-04", "2012-01-03", "2012-01-02"])
        }),
        ("9,999 columns of one name", vec!["x"; 9_999].join(",").into_bytes()),
        ("a row of 500,000 fields", below(&",".repeat(499_999))),
        ("a row of a megabyte", below(&"1".repeat((1 << 20) + 9))),
        ("a header of a megabyte", vec![b'x'; (1 << 20) + 9]),
        ("rows of more and more fields", {
            below(&(1..400).map(|n| vec!["1"; n].join(",") + "\n").collect::<String>())
        }),
        ("a quote that is not closed", b"x,y\n1,\"2\n3,4\n5,6\n".to_vec()),
        ("a quote that is not closed for two megabytes", {
            below(&format!("\"{}", "1\n".repeat(1 << 20)))
        }),
        ("a quote within a field", b"x,y\n1,2\"3\n4,5\n".to_vec()),
        ("text behind a quote", b"x,y\n1,\"2\"3\n4,5\n".to_vec()),
        ("a zero byte in a number", b"x\n1\x002\n3\n4\n".to_vec()),
        ("another separator in each row", b"x,y\n1;2\n3\t4\n5|6\n".to_vec()),
        ("250,000 numbers of one digit", below(&"1\n".repeat(250_000))),
        ("100,000 empty rows of two columns", {
            [b"x,y\n".to_vec(), b",\n".repeat(100_000)].concat()
        }),
        ("100,000 words", below(&"w\n".repeat(100_000))),
        ("50,000 dates", below(&"2012-01-01\n".repeat(50_000))),
        ("50,000 dates that go back", {
            let day = |i: usize| format!("{}-01-01\n", 9999 - i % 9000);
            below(&(0..50_000).map(day).collect::<String>())
        }),
        ("numbers and dates in turns", below(&"1\n2012-01-01\n".repeat(20_000))),
        ("the year 0", b"d,x\n0000-01-01,1\n0000-01-02,2\n".to_vec()),
        ("the year 9999", b"d,x\n9999-12-30,1\n9999-12-31,2\n".to_vec()),
        ("the year 10000", b"d,x\n10000-01-01,1\n10000-01-02,2\n".to_vec()),
        ("a year below 0", b"d,x\n-001-01-01,1\n-001-01-02,2\n".to_vec()),
        ("the thirtieth of February", b"d,x\n2012-02-30,1\n2012-02-30,2\n".to_vec()),
        ("a month of 2^32", b"d,x\n2012-4294967297-01,1\n2012-4294967297-02,2\n".to_vec()),
        ("a date of Arabic digits", "d,x\n٢٠١٢-٠١-٠١,1\n٢٠١٢-٠١-٠٢,2\n".as_bytes().to_vec()),
        ("hours beyond the day", b"d,x\n2012-01-01 24:00,1\n2012-01-01 25:00,2\n".to_vec()),
        ("NaN", below("nan\n1\n2\n")),
        ("infinity", below("inf\n-infinity\n2\n3\n4\n")),
        ("1e308", below("1e308\n-1e308\n1e308\n")),
        ("1e999", below("1e999\n1\n2\n")),
        ("numbers at the limit", below(&"1e30\n-1e30\n".repeat(40))),
        ("a number of 400,000 digits", below(&("9".repeat(400_000) + "\n1\n2\n"))),
        ("an exponent of 100,000 digits", below(&format!("1e{}\n1\n2\n", "9".repeat(100_000)))),
        ("a number in hexadecimal", below("0x10\n1\n2\n")),
        ("numbers with spaces in them", below("1 000\n2 000\n3\n4\n5\n")),
        ("numbers with commas for points", b"x;y\n1,5;2\n2,5;3\n".to_vec()),
        ("a formula", below("=cmd|' /C calc'!A0\n1\n2\n")),
        ("one row", below("1\n")),
        ("a column that never changes", below(&"7\n".repeat(100))),
        ("a file of another format", b"PK\x03\x04\x14\x00\x00\x00\x08\x00".to_vec()),
    ]
}

#[test]
fn series_made_by_hand() {
    let cases = cases();
    let mut tally = Tally::new("CSV, made by hand", cases.len() as u64);
    let said = told(&mut tally, &cases, series);
    insta::assert_snapshot!("series", said);
    tally.done("each refused with its reason, or read");
}

/// Files for the other reader, which has a column `sequence` or the .ts format.
fn sequence_cases() -> Vec<Case> {
    let ts = |lines: &str| format!("@classLabel true a b\n@data\n{lines}").into_bytes();
    let csv = |rows: &str| format!("sequence,label,a\n{rows}").into_bytes();
    let mut cases = cases();
    cases.extend([
        (".ts of nothing", b"@".to_vec()),
        (".ts without data", b"# a\n@problemName a\n".to_vec()),
        (".ts with data twice", b"@data\n@data\n1\n".to_vec()),
        (".ts of commas", ts(&",".repeat(100_000))),
        (".ts of colons", ts(&":".repeat(100_000))),
        (".ts of 50,000 dimensions", ts(&"1:".repeat(50_000))),
        (".ts of one value a line, 50,000 times", ts(&"1:a\n".repeat(50_000))),
        (".ts of a label alone", ts("a\n")),
        (".ts without its label", ts("1,2,3\n")),
        (".ts with time stamps", b"@timeStamps true\n@data\n(0,1)\n".to_vec()),
        (".ts of missing values", ts("?,?:a\n")),
        (".ts of more and more values", {
            ts(&(1..300).map(|n| vec!["1"; n].join(",") + ":a\n").collect::<String>())
        }),
        (".ts not UTF-8", b"@data\n\xff\n".to_vec()),
        (
            ".ts head of 500,000 words",
            [b"@classLabel true ".to_vec(), b"a ".repeat(250_000)].concat(),
        ),
        ("sequences alone", b"sequence\n1\n2\n".to_vec()),
        ("a sequence in two parts", csv("1,a,1\n2,a,1\n1,a,1\n")),
        ("50,000 sequences of one step", {
            csv(&(0..50_000).map(|i| format!("{i},a,1\n")).collect::<String>())
        }),
        ("a label that changes", csv("1,a,1\n1,b,1\n")),
        ("a name of 500,000 letters, twice", {
            let name = "s".repeat(250_000);
            csv(&format!("{name},a,1\n{name},a,2\n"))
        }),
        ("columns `sequence` twice", b"sequence,sequence,a\n1,2,3\n1,2,4\n".to_vec()),
    ]);
    cases
}

#[test]
fn sequences_made_by_hand() {
    let cases = sequence_cases();
    let mut tally = Tally::new("CSV and .ts sequences, made by hand", cases.len() as u64);
    let said = told(&mut tally, &cases, sequences);
    insta::assert_snapshot!("sequences", said);
    tally.done("each refused with its reason, or read");
}

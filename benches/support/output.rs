//! Where results go, and JSON by hand: flat rows of names and numbers need no library.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

/// Cargo's target directory, wherever it was configured to be.
pub fn target_dir() -> PathBuf {
    // Cargo gives benchmarks a scratch directory directly below the target directory.
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    scratch.parent().unwrap_or(scratch).to_owned()
}

/// Writes a file of results into `bench` in the target directory, and says where it is.
///
/// # Errors
/// Those of the file system.
pub fn save(name: &str, content: &str) -> io::Result<PathBuf> {
    let folder = target_dir().join("bench");
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    fs::write(&path, content)?;
    Ok(path)
}

/// A JSON array with one object a line.
pub fn json(rows: &[Vec<(&str, Json)>]) -> String {
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let fields: Vec<String> =
                row.iter().map(|(key, value)| format!("{}: {}", quoted(key), value.text())).collect();
            format!("  {{{}}}", fields.join(", "))
        })
        .collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// A value of a row.
pub enum Json {
    Text(String),
    /// With as many decimals.
    Number(f64, usize),
    Null,
}

impl Json {
    /// A number with `decimals`, or null.
    pub fn number(value: Option<f64>, decimals: usize) -> Self {
        value.filter(|value| value.is_finite()).map_or(Self::Null, |value| Self::Number(value, decimals))
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Number(value, decimals) => format!("{value:.decimals$}"),
            Self::Null => "null".into(),
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            control if control < ' ' => write!(out, "\\u{:04x}", control as u32).expect("a String takes it"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

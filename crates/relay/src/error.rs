//! Why the relay does not start, or did not end well.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the command line.
    Flag,
    /// In a config file; the first line is 1.
    Line(PathBuf, usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The command line cannot be read: a flag lacks its value, or an argument is no flag.
    Arguments(String),
    /// The config file is no TOML.
    Syntax { place: Place, message: String },
    /// There is no setting of that name.
    Unknown { place: Place, name: String },
    /// A setting has a value that it cannot have.
    Value { place: Place, name: &'static str, expected: &'static str },
    /// A file cannot be read or written.
    File { path: PathBuf, message: String },
    /// The certificate for QUIC, or its key, is of no use.
    #[cfg(feature = "quic")]
    Certificate(String),
    /// A setting of QUIC is there, and this program was built without it.
    #[cfg(not(feature = "quic"))]
    BuiltWithoutQuic,
    /// The operating system does not let the relay listen at that address.
    Listen(SocketAddr, String),
    /// The operating system does not let the program handle signals.
    Signals(String),
    /// The log for an audit is not whole.
    Log(String),
}

impl Error {
    pub fn file(path: &Path, error: &io::Error) -> Self {
        Self::File { path: path.to_owned(), message: error.to_string() }
    }

    /// Whether the operator has to change the settings before another start can succeed.
    pub fn is_of_settings(&self) -> bool {
        !matches!(self, Self::Listen(..) | Self::Signals(_) | Self::Log(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(message) => write!(f, "{message}; see --help"),
            Self::Syntax { place: Place::Flag, message } => f.write_str(message),
            Self::Syntax { place: Place::Line(path, line), message } => {
                write!(f, "{}:{line}: {message}", path.display())
            }
            Self::Unknown { place: Place::Flag, name } => write!(f, "there is no flag --{name}; see --help"),
            Self::Unknown { place: Place::Line(path, line), name } => {
                write!(f, "{}:{line}: there is no setting {name}; see --help", path.display())
            }
            Self::Value { place: Place::Flag, name, expected } => write!(f, "--{name} takes {expected}"),
            Self::Value { place: Place::Line(path, line), name, expected } => {
                write!(f, "{}:{line}: {name} takes {expected}", path.display())
            }
            Self::File { path, message } => write!(f, "cannot open {}: {message}", path.display()),
            #[cfg(feature = "quic")]
            Self::Certificate(message) => write!(f, "QUIC has no certificate: {message}"),
            #[cfg(not(feature = "quic"))]
            Self::BuiltWithoutQuic => f.write_str("this relay was built without the feature quic"),
            Self::Listen(address, message) => write!(f, "cannot listen at {address}: {message}"),
            Self::Signals(message) => write!(f, "cannot handle signals: {message}"),
            Self::Log(message) => write!(f, "the log is not whole: {message}"),
        }
    }
}

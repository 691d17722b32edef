//! The node's errors, and how they look to a caller.

use fog_api::{ApiError, ErrorKind};
use std::path::PathBuf;

/// Why a node cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Another process uses the data folder.
    #[error("another Fog Compute runs with the data folder {0}: stop it, or choose another with --data-dir")]
    InUse(PathBuf),
    /// The data folder cannot be used.
    #[error("the data folder {path} cannot be used: {source}")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database is damaged or newer than this program.
    #[error("{0}")]
    Database(String),
    /// The configuration file or the environment cannot be understood.
    #[error("the configuration ({path} or the environment) cannot be used: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system names no folder for this user's data.
    #[error("this user has no home folder: name a data folder with --data-dir")]
    NoHome,
    /// Secrets are missing or unreadable. No new identity is made in their place.
    #[error("{0}")]
    Secrets(String),
    /// The consensus file cannot be used.
    #[error("the consensus file {path} cannot be used: {reason}")]
    Consensus {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Something else on the machine failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The database failed.
    #[error("the database failed: {0}")]
    Sqlx(#[from] sqlx::Error),
    /// A command failed while starting.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// The result of a command.
pub(crate) type Result<T> = std::result::Result<T, ApiError>;

pub(crate) fn bad_input(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::BadInput, message)
}

pub(crate) fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::NotFound, message)
}

pub(crate) fn refused(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::Refused, message)
}

/// A failed database is told apart by what the user can do: a full disk, a damaged file, anything else.
#[allow(clippy::needless_pass_by_value, reason = "the signature that map_err takes")]
pub(crate) fn database(e: sqlx::Error) -> ApiError {
    let text = e.to_string();
    if matches!(e, sqlx::Error::PoolClosed) {
        return ApiError::new(ErrorKind::Unavailable, "The node is stopping.");
    }
    tracing::error!("database: {text}");
    if text.contains("disk is full") || text.contains("(code: 13)") {
        return ApiError::new(
            ErrorKind::Unavailable,
            "The disk is full: nothing was changed. Free some space and try again.",
        );
    }
    if text.contains("malformed") || text.contains("not a database") {
        return ApiError::new(
            ErrorKind::Internal,
            "The database file is damaged. Stop the node and restore it from a backup.",
        );
    }
    ApiError::new(ErrorKind::Internal, format!("The database failed: {text}"))
}

pub(crate) fn internal(e: impl std::fmt::Display) -> ApiError {
    tracing::error!("internal: {e}");
    ApiError::new(ErrorKind::Internal, format!("Something failed inside the node: {e}"))
}

//! Why a shop could not be opened or served.

use std::io;
use std::path::{Path, PathBuf};

use aqueduct_fsm::StoreError;

/// Why a shop could not be opened. Each message is one line that names the folder or the file at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data folder, or a file in it, could not be made or read: most often a matter of permissions.
    #[error("cannot {verb} {}: {source}", path.display())]
    Folder {
        /// What was tried.
        verb: &'static str,
        /// The folder or the file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process, or another shop of this one, uses the folder.
    #[error("the data folder {} is in use{}", folder.display(), by(*pid))]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The process, where it left its id.
        pid: Option<u32>,
    },
    /// The folder was written by another version.
    #[error("the data folder {} has another format: found {found:?}, this version needs {expected:?}", folder.display())]
    Format {
        /// The data folder.
        folder: PathBuf,
        /// What its FORMAT file says, cut to 40 characters.
        found: String,
        /// What it would have to say.
        expected: String,
    },
    /// The database could not be opened or created.
    #[error("cannot open the store in {}: {source}", folder.display())]
    Store {
        /// The data folder.
        folder: PathBuf,
        /// What the database said.
        source: StoreError,
    },
    /// The ID generator has no lease: the worker number or the folder is not right.
    #[error(transparent)]
    Ids(#[from] aqueduct_ids::LeaseError),
    /// An option of the cache is out of its bounds.
    #[error("the cache cannot be set up: {0}")]
    Cache(#[from] aqueduct_cache::BuildError),
    /// An option of the committer is out of its bounds, or it has no thread.
    #[error("the committer cannot be started: {0}")]
    Committer(#[from] aqueduct_fsm::StartError),
    /// The databases cannot be used, or their tables are not what they should be.
    #[error(transparent)]
    Shards(#[from] aqueduct_shards::Error),
    /// The Redis Cluster cannot be used.
    #[error(transparent)]
    Level2(#[from] aqueduct_cache::l2::Error),
    /// The changes of a shard are followed by nobody, so what is cached of it would never be current.
    #[error("shard {0} belongs to no source: name the server that is its primary")]
    Unfollowed(u8),
    /// The sagas in the database cannot be used.
    #[error("cannot open the sagas: {0}")]
    Sagas(#[from] Box<aqueduct_saga::fjall::OpenError>),
    /// An option of the sagas is out of its bounds.
    #[error("the sagas cannot be set up: {0}")]
    SagaOptions(#[from] aqueduct_saga::InvalidOptions),
    /// The steps of a transfer make no saga: a defect of the program.
    #[error("the definition of transfers is wrong: {0}")]
    Definition(#[from] aqueduct_saga::typed::InvalidDefinition),
    /// The address of a participant is none.
    #[error("{0:?} is no address of a participant: HOST:PORT is wanted")]
    Address(String),
    /// No thread could be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

impl OpenError {
    pub(crate) fn folder(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Folder { verb, path: path.to_owned(), source }
    }
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}

/// Why a shop stopped serving before it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The listener cannot be used.
    #[error("the listener cannot be used: {0}")]
    Listener(#[from] io::Error),
    /// The connections failed.
    #[error("the gRPC server failed: {0}")]
    Server(#[from] tonic::transport::Error),
    /// The built-in descriptors cannot be read: a defect of the build.
    #[error("the descriptors for reflection cannot be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

//! What publishers and readers of any bus have in common, so that one code serves the log in this process and a server.

use std::ops::Range;

use crate::log::{Closed, Log};
use crate::reader::Reader;
use crate::record::{Delivery, Draft};

/// Tells attempts at one record from records: the same for each attempt, another for each record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DedupId(String);

impl DedupId {
    /// Visible ASCII characters only; others are replaced, since it may travel in a header.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Self(text);
        }
        Self(text.chars().map(|char| if char.is_ascii_graphic() { char } else { '_' }).collect())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Publishes to one source, of which it is the only publisher.
pub trait Publish: Send {
    /// Why a batch could not be published. The publisher is of no use after that.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The epoch in which the records of the last batch were numbered, and in which the next will be unless records are lost
    /// meanwhile. Epochs only grow.
    fn epoch(&self) -> u64;

    /// Publishes a batch under consecutive numbers, which it returns, and waits until all of it is safe. Waits as long
    /// as it takes for a bus that does not answer; a future that is dropped leaves the batch published or not.
    fn publish(
        &mut self,
        drafts: Vec<(DedupId, Draft)>,
    ) -> impl Future<Output = Result<Range<u64>, Self::Error>> + Send;
}

/// Reads one source as a whole, from the moment it subscribed.
pub trait Subscribe: Send {
    /// The next delivery, or `None` when there will be no other. Cancel-safe.
    fn recv(&mut self) -> impl Future<Output = Option<Delivery>> + Send;
}

impl Publish for Log {
    type Error = Closed;

    fn epoch(&self) -> u64 {
        Self::epoch(self)
    }

    async fn publish(&mut self, drafts: Vec<(DedupId, Draft)>) -> Result<Range<u64>, Closed> {
        // Nothing is ever attempted twice here.
        self.publish_all(drafts.into_iter().map(|(_, draft)| draft))
    }
}

impl Subscribe for Reader {
    async fn recv(&mut self) -> Option<Delivery> {
        Self::recv(self).await
    }
}

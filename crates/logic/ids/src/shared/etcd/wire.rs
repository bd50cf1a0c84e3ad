//! The messages of etcd's `KV` service that are needed, with the numbers of `etcdserverpb/rpc.proto` and `mvccpb/kv.proto`
//! (etcd 3.4, `api/`). Fields that are left out are skipped when they are read.
#![allow(clippy::allow_attributes_without_reason, reason = "what prost derives has some")]

/// `RangeRequest`: one key, or those from `key` up to `range_end`. Linearizable, since `serializable` is not set.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Range {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
}

/// `RangeResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RangeAnswer {
    #[prost(message, repeated, tag = "2")]
    pub(super) kvs: Vec<KeyValue>,
}

/// `mvccpb.KeyValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(super) mod_revision: i64,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) value: Vec<u8>,
}

/// `TxnRequest`: if all of `compare` hold, all of `success` are done.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Txn {
    #[prost(message, repeated, tag = "1")]
    pub(super) compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub(super) success: Vec<Operation>,
}

/// `Compare`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Compare {
    /// `CompareResult`; 0 is `EQUAL`.
    #[prost(int32, tag = "1")]
    result: i32,
    /// `CompareTarget`; 2 is `MOD`.
    #[prost(int32, tag = "2")]
    target: i32,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    /// In a `oneof`, so it is written even when it is 0: the key must not be there.
    #[prost(int64, optional, tag = "6")]
    mod_revision: Option<i64>,
}

impl Compare {
    /// The key was last written at this revision; 0: it is not there.
    pub(super) fn last_written(key: Vec<u8>, revision: i64) -> Self {
        Self { result: 0, target: 2, key, mod_revision: Some(revision) }
    }
}

/// `RequestOp`, of which only puts are sent.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Operation {
    #[prost(message, optional, tag = "2")]
    put: Option<Put>,
}

impl From<Put> for Operation {
    fn from(put: Put) -> Self {
        Self { put: Some(put) }
    }
}

/// `PutRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Put {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `TxnResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TxnAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<Header>,
    #[prost(bool, tag = "2")]
    pub(super) succeeded: bool,
}

/// `ResponseHeader`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Header {
    #[prost(int64, tag = "3")]
    pub(super) revision: i64,
}

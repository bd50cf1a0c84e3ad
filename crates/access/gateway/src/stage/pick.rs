//! `pick`: which endpoint of the upstream gets the request. Round robin, separately in each worker.

use std::rc::Rc;

use aqueduct_transcode::Code;

use crate::reject::Reject;
use crate::stage::Stage;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// The next endpoint in turn.
pub(crate) fn pick(upstream: Option<&Upstream>) -> Result<&Rc<Endpoint>, Reject> {
    let upstream = upstream.ok_or_else(|| none("the route's upstream"))?;
    let turn = upstream.next.get();
    upstream.next.set(turn.wrapping_add(1));
    let index = turn.checked_rem(upstream.endpoints.len()).unwrap_or(0);
    upstream.endpoints.get(index).ok_or_else(|| none(&upstream.name))
}

#[cold]
fn none(upstream: &str) -> Reject {
    Reject::new(Stage::Pick, "no_endpoint", Code::Unavailable, format!("{upstream} has no endpoint"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Families;
    use crate::options;
    use aqueduct_telemetry::metrics::Registry;

    #[test]
    fn endpoints_take_turns_and_an_empty_upstream_is_unavailable() {
        let options = options::Upstream::new(vec![]);
        let families = Families::register(&Registry::new());
        let endpoint =
            |address| Endpoint::new(address, &options, Rc::new(families.endpoint("x", address))).unwrap();
        let endpoints = vec![endpoint("a:1"), endpoint("b:1"), endpoint("c:1")];
        let mut upstream =
            Upstream { name: "x".into(), endpoints, next: std::cell::Cell::new(usize::MAX - 1) };
        let turns: Vec<_> = (0..6).map(|_| pick(Some(&upstream)).unwrap().address().to_owned()).collect();
        assert_eq!(turns[3..], ["b:1", "c:1", "a:1"], "after the counter has wrapped");
        upstream.endpoints.clear();
        assert_eq!(pick(Some(&upstream)).unwrap_err().code(), Code::Unavailable);
    }
}

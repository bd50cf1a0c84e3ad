//! `pick`: which endpoint of the upstream gets the request. Round robin, separately in each worker.

use std::rc::Rc;

use aqueduct_transcode::Code;

use crate::reject::Reject;
use crate::stage::Stage;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// The next endpoint in turn.
pub(crate) fn pick(upstream: &Upstream) -> Result<&Rc<Endpoint>, Reject> {
    let turn = upstream.next.get();
    upstream.next.set(turn.wrapping_add(1));
    let index = turn.checked_rem(upstream.endpoints.len()).unwrap_or(0);
    upstream.endpoints.get(index).ok_or_else(|| none(&upstream.name))
}

/// The next endpoint in turn that is not the one before, if there is another.
pub(crate) fn another<'u>(upstream: &'u Upstream, before: &Rc<Endpoint>) -> Result<&'u Rc<Endpoint>, Reject> {
    let next = pick(upstream)?;
    if Rc::ptr_eq(next, before) { pick(upstream) } else { Ok(next) }
}

/// The configuration that named the upstream is not in use any more.
#[cold]
pub(crate) fn gone() -> Reject {
    Reject::new(Stage::Pick, "no_endpoint", Code::Unavailable, "the upstream is not configured any more")
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
    use crate::upstream::gate::Gates;
    use aqueduct_telemetry::metrics::Registry;

    #[test]
    fn endpoints_take_turns_and_an_empty_upstream_is_unavailable() {
        let families = Families::register(&Registry::new());
        let upstream = |addresses: &[&str]| {
            let addresses = addresses.iter().map(ToString::to_string).collect();
            Upstream::new("x", &options::Upstream::new(addresses), None, (&families, &Gates::default()), &[])
        };
        let three = upstream(&["a:1", "b:1", "c:1"]);
        three.next.set(usize::MAX - 1);
        let turns: Vec<_> = (0..6).map(|_| pick(&three).unwrap().address().to_owned()).collect();
        assert_eq!(turns[3..], ["b:1", "c:1", "a:1"], "after the counter has wrapped");
        for before in &three.endpoints {
            three.next.set(three.endpoints.iter().position(|it| Rc::ptr_eq(it, before)).unwrap());
            assert!(!Rc::ptr_eq(another(&three, before).unwrap(), before), "its turn, but it has failed");
        }
        let one = upstream(&["a:1"]);
        assert_eq!(another(&one, &one.endpoints[0]).unwrap().address(), "a:1");
        assert_eq!(pick(&upstream(&[])).unwrap_err().code(), Code::Unavailable);
    }
}

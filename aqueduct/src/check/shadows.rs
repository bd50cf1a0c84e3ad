//! What a route does not get although its template matches: a line for each way in which others take from it. Usual, and
//! often meant, so that it is a note; a route that nothing reaches is a warning.

use anstyle::AnsiColor;
use aqueduct_gateway::Probes;
use aqueduct_transcode::{Router, Shadow, Taker};

use super::method;

/// The lines, with their titles.
pub(super) fn notes(router: &Router, probes: Option<&Probes>) -> Vec<String> {
    let probes = probes.map(|it| [&it.healthz, &it.livez, &it.readyz, &it.startupz, &it.health]);
    let reserved: Vec<&str> = probes.iter().flatten().map(|path| path.as_str()).collect();
    let shadows = router.shadows(&reserved);
    let mut lines = Vec::new();
    for of_one in shadows.chunk_by(|a, b| std::ptr::eq(a.binding, b.binding)) {
        let is_entire = |shadow: &Shadow<'_>| shadow.entire;
        if let Some(entire) = of_one.iter().find(|shadow| is_entire(shadow)) {
            lines.push(warning(entire));
            continue;
        }
        for kind in [Kind::Binding, Kind::Verb, Kind::Reserved] {
            let alike: Vec<_> = of_one.iter().filter(|shadow| Kind::of(shadow) == kind).collect();
            if let Some((first, more)) = alike.split_first() {
                lines.push(note(first, more.len()));
            }
        }
    }
    lines
}

#[derive(PartialEq, Eq)]
enum Kind {
    Binding,
    Verb,
    Reserved,
}

impl Kind {
    fn of(shadow: &Shadow<'_>) -> Kind {
        match shadow.taker {
            Taker::Binding(_) => Kind::Binding,
            Taker::Verb(_) => Kind::Verb,
            Taker::Reserved => Kind::Reserved,
        }
    }
}

/// `GET /v1/orders/{id} leaves /v1/orders/new to shop.v1.OrderService/NewOrder (and 2 more like it)`.
fn note(shadow: &Shadow<'_>, more: usize) -> String {
    let cyan = AnsiColor::Cyan.on_default();
    let own = shadow.binding.http_method();
    let path = &shadow.path;
    // Of a binding for every method it is told which one it does not get.
    let request = if shadow.method == own { path.clone() } else { format!("{} {path}", shadow.method) };
    let taker = match shadow.taker {
        Taker::Binding(taker) if taker.template() == *path => method(taker).to_owned(),
        Taker::Binding(taker) => format!("{} at {}", method(taker), taker.template()),
        Taker::Verb(taker) => {
            format!("{}, whose verb it ends in; {own} is answered 405", method(taker))
        }
        Taker::Reserved => "the health probe".to_owned(),
    };
    let more = if more > 0 { format!(" (and {more} more like it)") } else { String::new() };
    let template = shadow.binding.template();
    format!("{cyan}note    {cyan:#}  {own} {template} leaves {request} to {taker}{more}")
}

fn warning(shadow: &Shadow<'_>) -> String {
    let yellow = AnsiColor::Yellow.on_default().bold();
    let (own, template) = (shadow.binding.http_method(), shadow.binding.template());
    let why = match shadow.taker {
        Taker::Binding(taker) | Taker::Verb(taker) => format!("{} takes its paths", method(taker)),
        Taker::Reserved => "a health probe has its path; `probes` in the configuration moves it".to_owned(),
    };
    format!("{yellow}warning {yellow:#}  {own} {template} is never reached: {why}")
}

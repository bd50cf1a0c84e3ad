use super::*;
use crate::template::Template;

/// A router without messages: each template is bound to itself.
pub(super) fn router(rules: &[(&str, &str)]) -> Router {
    let mut methods = Methods::new();
    let mut verbs = Verbs::default();
    let mut tree = Tree::new();
    let schema = Schema::decode(&[]).unwrap();
    let mut bindings = Vec::new();
    for (index, &(method, text)) in rules.iter().enumerate() {
        let template = Template::parse(text).unwrap();
        let verb = verbs.intern(template.verb.as_deref());
        tree.insert(&template, verb, methods.intern(method).unwrap(), index as u32).unwrap();
        bindings.push(Binding::for_test(&schema, method, text, &template));
    }
    Router { bindings: bindings.into(), tree, methods, verbs }
}

/// What was found, as `template name=value …`, or the refusal.
fn find(router: &Router, method: &str, path: &str) -> String {
    match router.find(method, path) {
        Lookup::Found(found) => {
            let mut out = found.binding.template().to_owned();
            for (variable, &(start, end)) in found.binding.variables.iter().zip(&found.spans) {
                out =
                    format!("{out} {}={}", variable.field.text, path.get(start.into()..end.into()).unwrap());
            }
            out
        }
        Lookup::MethodNotAllowed { allow } => format!("405 {allow}"),
        Lookup::NotFound => "404".to_owned(),
        Lookup::BadPath => "400".to_owned(),
    }
}

#[test]
fn specific_templates_win() {
    let router = router(&[
        ("GET", "/"),
        ("GET", "/v1/orders"),
        ("GET", "/v1/orders/{id}"),
        ("GET", "/v1/orders/latest"),
        ("GET", "/v1/orders/{id}/items/{item}"),
        ("GET", "/v1/{rest=**}"),
        ("GET", "/v1/{name=shelves/*/books/*}"),
        ("GET", "/v1/shelves/{shelf}/books/first"),
        ("GET", "/files/{path=a/**}"),
    ]);
    let check = |path: &str, expect: &str| assert_eq!(find(&router, "GET", path), expect, "{path}");
    check("/", "/");
    check("/v1/orders", "/v1/orders");
    check("/v1/orders/7", "/v1/orders/{id} id=7");
    check("/v1/orders/latest", "/v1/orders/latest");
    check("/v1/orders/7/items/9", "/v1/orders/{id}/items/{item} id=7 item=9");
    check("/v1/orders/7/items", "/v1/{rest=**} rest=orders/7/items");
    check("/v1/orders/latest/items/9", "/v1/orders/{id}/items/{item} id=latest item=9");
    check("/v1", "/v1/{rest=**} rest=");
    check("/v1/", "/v1/{rest=**} rest=");
    check("/v1/a//b", "/v1/{rest=**} rest=a//b");
    check("/v1/shelves/1/books/2", "/v1/{name=shelves/*/books/*} name=shelves/1/books/2");
    check("/v1/shelves/1/books/first", "/v1/shelves/{shelf}/books/first shelf=1");
    check("/files/a", "/files/{path=a/**} path=a");
    check("/files/a/b/c", "/files/{path=a/**} path=a/b/c");
    check("/files/b", "404");
    check("/v2", "404");
    check("/v1/orders/", "/v1/{rest=**} rest=orders/");
    check("", "400");
    check("v1", "400");
    check("*", "400");
    check("/v1/%4", "400");
    check("/v1/%zz", "400");
}

#[test]
fn the_path_is_split_before_it_is_decoded() {
    let router = router(&[
        ("GET", "/v1/{id}"),
        ("GET", "/v1/a b/c"),
        ("GET", "/v1/{all=**}"),
        ("GET", "/v1/%2541"),
        ("GET", "/v1/A"),
    ]);
    let check = |path: &str, expect: &str| assert_eq!(find(&router, "GET", path), expect, "{path}");
    check("/v1/a%2Fb", "/v1/{id} id=a%2Fb");
    check("/v1/a%20b/c", "/v1/a b/c");
    check("/%76%31/x", "/v1/{id} id=x");
    check("/v1%2Fx", "404");
    check("/v1/%41", "/v1/A");
    check("/v1/%2541", "/v1/%2541");
}

#[test]
fn verbs_are_behind_the_last_colon() {
    let router = router(&[
        ("GET", "/v1/orders/{id}"),
        ("POST", "/v1/orders/{id}:pay"),
        ("GET", "/v1/orders/{id}:watch"),
        ("POST", "/v1/{uuid}:custom:custom"),
        ("POST", "/v1/{uuid}:custom"),
        ("POST", "/v1/{uuid}"),
        ("GET", "/{path=**}:raw"),
    ]);
    let check =
        |method: &str, path: &str, expect: &str| assert_eq!(find(&router, method, path), expect, "{path}");
    check("POST", "/v1/orders/7:pay", "/v1/orders/{id}:pay id=7");
    check("GET", "/v1/orders/7:watch", "/v1/orders/{id}:watch id=7");
    check("GET", "/v1/orders/a:b:watch", "/v1/orders/{id}:watch id=a:b");
    check("GET", "/v1/orders/7:unknown", "/v1/orders/{id} id=7:unknown");
    check("GET", "/v1/orders/7%3Apay", "/v1/orders/{id} id=7%3Apay");
    // The path belongs to the verb, whatever the method.
    check("GET", "/v1/orders/7:pay", "405 OPTIONS, POST");
    check("POST", "/v1/x:custom:custom", "/v1/{uuid}:custom:custom uuid=x");
    check("POST", "/v1/x:custom", "/v1/{uuid}:custom uuid=x");
    check("POST", "/v1/x:y:custom", "/v1/{uuid}:custom uuid=x:y");
    check("POST", "/v1/x:pay", "/v1/{uuid} uuid=x:pay");
    check("GET", "/a/b:raw", "/{path=**}:raw path=a/b");
    check("GET", "/:raw", "/{path=**}:raw path=");
    check("GET", "/v1/orders/:pay", "/v1/orders/{id} id=:pay");
    // Many colons cost no more than few.
    check(
        "POST",
        &format!("/v1/{}", ":".repeat(60_000)),
        &format!("/v1/{{uuid}} uuid={}", ":".repeat(60_000)),
    );
}

#[test]
fn methods_are_kept_apart() {
    let router = router(&[
        ("GET", "/v1/orders/{id}"),
        ("DELETE", "/v1/orders/{id}"),
        ("PUT", "/v1/{name=orders/*}"),
        ("LINK", "/v1/links"),
        ("*", "/v1/any"),
        ("HEAD", "/v1/head"),
        ("GET", "/v1/head"),
        ("OPTIONS", "/v1/options"),
        ("POST", "/v1/orders/new"),
    ]);
    let check =
        |method: &str, path: &str, expect: &str| assert_eq!(find(&router, method, path), expect, "{path}");
    check("DELETE", "/v1/orders/7", "/v1/orders/{id} id=7");
    check("PUT", "/v1/orders/7", "/v1/{name=orders/*} name=orders/7");
    check("HEAD", "/v1/orders/7", "/v1/orders/{id} id=7");
    check("PATCH", "/v1/orders/7", "405 DELETE, GET, HEAD, OPTIONS, PUT");
    check("OPTIONS", "/v1/orders/7", "405 DELETE, GET, HEAD, OPTIONS, PUT");
    check("LINK", "/v1/links", "/v1/links");
    check("GET", "/v1/links", "405 LINK, OPTIONS");
    check("BREW", "/v1/links", "405 LINK, OPTIONS");
    check("BREW", "/v1/any", "/v1/any");
    check("HEAD", "/v1/head", "/v1/head");
    check("OPTIONS", "/v1/options", "/v1/options");
    check("GET", "/v1/orders/new", "/v1/orders/{id} id=new");
    check("POST", "/v1/orders/new", "/v1/orders/new");
    check("get", "/v1/orders/7", "405 DELETE, GET, HEAD, OPTIONS, PUT");
    check("*", "/v1/orders/7", "405 DELETE, GET, HEAD, OPTIONS, PUT");
}

#[test]
fn long_paths_are_answered() {
    let router = router(&[("GET", "/{a}/{b}"), ("GET", "/x/{rest=**}")]);
    assert_eq!(find(&router, "GET", &"/a".repeat(30_000)), "404");
    assert_eq!(find(&router, "GET", &"/".repeat(70_000)), "400");
    let long = format!("/x{}", "/".repeat(60_000));
    assert!(find(&router, "GET", &long).starts_with("/x/{rest=**} rest=//"));
}

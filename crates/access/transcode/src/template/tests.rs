use super::*;

/// Writes a template back in a normal form: `*` for every variable of one segment, then the variables.
fn show(template: &Template) -> String {
    let segments: Vec<String> = template
        .segments
        .iter()
        .map(|segment| match segment {
            Segment::Literal(text) => String::from_utf8_lossy(text).into_owned(),
            Segment::One => "*".to_owned(),
            Segment::Many => "**".to_owned(),
        })
        .collect();
    let mut out = format!("/{}", segments.join("/"));
    if let Some(verb) = &template.verb {
        out = format!("{out} :{}", String::from_utf8_lossy(verb));
    }
    for Variable { field_path, first, end, multi } in &template.variables {
        out = format!("{out} {field_path}={first}..{end}{}", if *multi { "+" } else { "" });
    }
    out
}

#[test]
fn templates_are_read() {
    let check = |text: &str, expect: &str| {
        assert_eq!(Template::parse(text).as_ref().map(show), Ok(expect.to_owned()), "{text}");
    };
    check("/", "/");
    check("/v1/orders", "/v1/orders");
    check("/v1/orders/{id}", "/v1/orders/* id=2..3");
    check("/v1/orders/{id}:pay", "/v1/orders/* :pay id=2..3");
    check("/v1/{uuid}:custom:custom", "/v1/* :custom:custom uuid=1..2");
    check("/v1/a:b/c", "/v1/a:b/c");
    check("/v1/a:b:c", "/v1/a:b :c");
    check("/v1/*:verb", "/v1/* :verb");
    check("/{a=*}/{b.c_d=x}", "/*/x a=0..1 b.c_d=1..2");
    check("/v1/{name=shelves/*/books/*}", "/v1/shelves/*/books/* name=1..5+");
    check("/v1/{name=projects/**}:get", "/v1/projects/** :get name=1..3+");
    check("/{path=**}", "/** path=0..1+");
    check("/**", "/**");
    check("/v1/sp%20ace", "/v1/sp ace");
}

#[test]
fn bad_templates_are_refused_with_a_reason() {
    let check = |text: &str, expect: &str| {
        let problem = Template::parse(text).expect_err(text);
        assert!(problem.contains(expect), "{text}: {problem}");
    };
    check("", "must start");
    check("v1", "must start");
    check("//", "a segment is empty");
    check("/v1/", "a segment is empty");
    check("/v1//a", "a segment is empty");
    check("/:verb", "a segment is empty");
    check("/v1/{a", "no \"}\"");
    check("/v1/{a=b", "no \"}\"");
    check("/v1/{}", "field path");
    check("/v1/{a..b}", "field path");
    check("/v1/{1a}", "field path");
    check("/v1/{a-b}", "field path");
    check("/v1/{a=}", "a segment is empty");
    check("/v1/{a={b}}", "may not be part");
    check("/v1/{a}b", "may follow a variable");
    check("/v1/b{a}", "may not be part");
    check("/v1/***", "may not be part");
    check("/v1/a*", "may not be part");
    check("/v1/**/a", "last segment");
    check("/v1/{a=**}/b", "last segment");
    check("/v1/{a}/{a}", "twice");
    check("/v1/a:", "verb");
    check("/v1/{a}:x/y", "verb");
    check("/v1/%4", "percent");
    check(&"/a".repeat(33), "32 segments");
    let many: Vec<String> = (0..17).map(|n| format!("{{v{n}}}")).collect();
    check(&format!("/{}", many.join("/")), "16 variables");
}

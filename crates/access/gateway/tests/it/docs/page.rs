//! A page of the documentation, taken apart: its services, its configuration and its examples.

/// What a test needs of a page.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    /// Files: a block that begins with `syntax` is a new one, others go on with the first.
    pub(super) protos: Vec<String>,
    /// Blocks that begin with `routes:`, `limits:` or `timeouts:`.
    pub(super) configuration: Vec<String>,
    pub(super) examples: Vec<Example>,
    pub(super) refused: Vec<Refused>,
}

/// A request, and what of its answer the page shows.
#[derive(Debug, Clone)]
pub(super) struct Example {
    pub(super) line: usize,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<String>,
    pub(super) body: String,
    pub(super) status: u16,
    pub(super) answer_headers: Vec<(String, String)>,
    pub(super) expected: Expected,
}

#[derive(Debug, Clone)]
pub(super) enum Expected {
    /// The page does not say.
    Anything,
    Body(String),
    /// The message of a `google.rpc.Status`.
    Message(String),
}

/// A rule that cannot be used, and why.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) line: usize,
    pub(super) rule: String,
    pub(super) why: String,
}

impl Page {
    pub(super) fn read(text: &str) -> Self {
        let mut page = Page::default();
        let mut lines = text.lines().zip(1..);
        while let Some((line, number)) = lines.next() {
            let Some(kind) = line.strip_prefix("```") else { continue };
            let block: Vec<_> =
                lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").collect();
            page.block(kind, &block, number + 1);
        }
        page
    }

    /// `first`: the number of its first line.
    fn block(&mut self, kind: &str, block: &[&str], first: usize) {
        let numbered = || block.iter().zip(first..).filter(|(line, _)| !line.trim().is_empty());
        match kind {
            "proto" => self.proto(&block.join("\n")),
            "yaml" if ["routes:", "limits:", "timeouts:"].iter().any(|key| block[0].starts_with(key)) => {
                self.configuration.push(block.join("\n"));
            }
            "http" if block[0].contains(" → ") => {
                self.examples.extend(numbered().map(|(line, number)| Example::of_line(line, number)));
            }
            "http" => self.examples.push(Example::of_block(block, first)),
            "refused" => self.refused.extend(numbered().map(|(line, number)| {
                let (rule, why) = line.split_once(" → ").unwrap();
                Refused { line: number, rule: rule.trim().into(), why: why.trim().into() }
            })),
            _ => {}
        }
    }

    fn proto(&mut self, text: &str) {
        match self.protos.first_mut() {
            Some(first) if !text.starts_with("syntax") => first.extend(["\n", text]),
            _ => self.protos.push(text.into()),
        }
    }
}

impl Example {
    /// `METHOD TARGET (HEADER: VALUE) BODY → BODY`, or `→ STATUS MESSAGE`.
    fn of_line(text: &str, line: usize) -> Self {
        let (request, answer) = text.split_once(" → ").unwrap_or_else(|| panic!("line {line} has no →"));
        let mut parts = request.trim().splitn(3, ' ');
        let mut part = || parts.next().unwrap_or_default().trim();
        let (method, target, mut rest) = (part().to_owned(), part().to_owned(), part());
        let mut headers = Vec::new();
        while let Some((header, body)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            headers.push(header.to_owned());
            rest = body.trim();
        }
        let answer = answer.trim();
        let (first, message) = answer.split_once(' ').unwrap_or((answer, ""));
        let status = first.parse().ok().filter(|_| first.len() == 3);
        let expected = match (status, message) {
            (None, _) => Expected::Body(answer.into()),
            (Some(_), "") => Expected::Anything,
            (Some(_), message) => Expected::Message(message.into()),
        };
        let status = status.unwrap_or(200);
        Self {
            line,
            method,
            target,
            headers,
            body: rest.into(),
            status,
            answer_headers: Vec::new(),
            expected,
        }
    }

    /// Request line, headers, blank line, body; then `→ STATUS` and the same of the answer.
    fn of_block(block: &[&str], line: usize) -> Self {
        let arrow = block.iter().position(|line| line.starts_with("→ "));
        let (request, answer) = block.split_at(arrow.unwrap_or_else(|| panic!("block {line} has no →")));
        let (head, body) = halves(request);
        let (answer_head, answer_body) = halves(answer);
        let (method, target) = head[0].split_once(' ').unwrap();
        let status = answer_head[0].trim_start_matches("→ ").trim().parse().unwrap();
        let pair = |line: &&str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Self {
            line,
            method: method.into(),
            target: target.into(),
            headers: head[1..].iter().map(|&line| line.to_owned()).collect(),
            body: body.unwrap_or_default(),
            status,
            answer_headers: answer_head[1..].iter().map(pair).collect(),
            expected: answer_body.map_or(Expected::Anything, Expected::Body),
        }
    }
}

/// What is before the first blank line and what behind it, without blank lines at the end.
fn halves<'a>(lines: &'a [&'a str]) -> (&'a [&'a str], Option<String>) {
    let blank = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
    let (head, rest) = lines.split_at(blank);
    let body = rest.get(1..).unwrap_or_default().join("\n").trim_end().to_owned();
    (head, Some(body).filter(|body| !body.is_empty()))
}

//! HTTP methods as small numbers.

/// The number of a method, a bit of a [`MethodSet`].
pub(super) type MethodId = u8;
pub(super) type MethodSet = u64;

/// The custom kind `*`: any method.
pub(super) const ANY: MethodId = 0;
const GET: MethodId = 1;
const HEAD: MethodId = 2;
const MOST: usize = 64;

/// The methods of all bindings.
#[derive(Debug)]
pub(super) struct Methods(Vec<Box<str>>);

/// What a request asks for: which binding would do, best first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// The method itself, when any binding has it.
    pub(super) exact: Option<MethodId>,
    /// HEAD is GET without the body.
    pub(super) instead: Option<MethodId>,
}

impl Methods {
    pub(super) fn new() -> Methods {
        Methods(["*", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map(Box::from).into())
    }

    /// The number of a method; `None` when there are too many.
    pub(super) fn intern(&mut self, name: &str) -> Option<MethodId> {
        let at = self.0.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.0.push(name.into());
            self.0.len() - 1
        });
        MethodId::try_from(at).ok().filter(|_| at < MOST)
    }

    pub(super) fn ask(&self, name: &str) -> Asked {
        let at = self.0.iter().skip(1).position(|known| **known == *name);
        let exact = at.and_then(|at| MethodId::try_from(at + 1).ok());
        Asked { exact, instead: (exact == Some(HEAD)).then_some(GET) }
    }

    /// The value of an `Allow` header.
    pub(super) fn allow(&self, methods: MethodSet) -> String {
        let has = |id: MethodId| methods & 1 << id != 0;
        let names = (1u8..).zip(self.0.iter().skip(1));
        let mut names: Vec<&str> =
            names.filter(|(id, _)| has(*id) || (*id == HEAD && has(GET))).map(|(_, name)| &**name).collect();
        if !names.contains(&"OPTIONS") {
            names.push("OPTIONS");
        }
        names.sort_unstable();
        names.join(", ")
    }
}

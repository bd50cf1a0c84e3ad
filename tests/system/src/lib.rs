//! End-to-end tests of the binary, and of the rules that the workspace as a whole keeps: see `tests/`.

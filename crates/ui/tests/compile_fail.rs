//! Misuse of the media plane that must not compile. A crate of its own: trybuild builds all that
//! its crate depends on once more.

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

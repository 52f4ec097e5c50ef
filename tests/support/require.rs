//! Requirements of a pipeline: with `LCM_TEST_REQUIRE=root,docker,chromium,compose` the absence of any of these is a failure.

/// Returns true if this is on the list.
pub(crate) fn required(what: &str) -> bool {
    let list = std::env::var("LCM_TEST_REQUIRE").unwrap_or_default();
    list.split(',').any(|name| name.trim() == what)
}

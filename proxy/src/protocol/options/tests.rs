use super::*;

fn settings(options: &str) -> Option<Vec<(String, String)>> {
    options_settings(options)
}

fn pairs(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn settings_in_each_form() {
    assert_eq!(settings(""), pairs(&[]));
    assert_eq!(settings("  \t\n"), pairs(&[]));
    assert_eq!(settings("-c work_mem=1MB"), pairs(&[("work_mem", "1MB")]));
    assert_eq!(settings("-cwork_mem=1MB"), pairs(&[("work_mem", "1MB")]));
    assert_eq!(settings("--work_mem=1MB"), pairs(&[("work_mem", "1MB")]));
    assert_eq!(settings("--work-mem=1MB -c  a.b=c=d"), pairs(&[("work_mem", "1MB"), ("a.b", "c=d")]));
    assert_eq!(settings("-c search_path= --x="), pairs(&[("search_path", ""), ("x", "")]));
    // A name twice: the server takes them in order.
    assert_eq!(settings("-c a=1 -c a=2"), pairs(&[("a", "1"), ("a", "2")]));
}

#[test]
fn a_backslash_keeps_what_follows() {
    assert_eq!(settings(r"-c search_path=a,\ b"), pairs(&[("search_path", "a, b")]));
    assert_eq!(settings(r"-c a=x\\y --b=\-c"), pairs(&[("a", r"x\y"), ("b", "-c")]));
    assert_eq!(settings("-c a=b\\\nc"), pairs(&[("a", "b\nc")]));
    // Nothing follows: as in the server it stands for nothing.
    assert_eq!(settings("-c a=b\\"), pairs(&[("a", "b")]));
    assert_eq!(settings(r"-c a=Größe\ ü"), pairs(&[("a", "Größe ü")]));
}

#[test]
fn other_switches_are_no_settings() {
    for options in
        ["-c", "-c work_mem", "--work_mem", "-e", "-c a=1 -fs", "word", "--", "-", "-c a=1 word", "-C a=1"]
    {
        assert_eq!(settings(options), None, "{options}");
    }
}

#[test]
fn one_setting_is_taken_and_the_rest_left() {
    let take = |options: &str| take_setting(options, "waypool.backend");
    let taken = |value: Option<&str>, rest: &str| (value.map(str::to_owned), rest.to_owned());
    assert_eq!(take("-c waypool.backend=1"), taken(Some("1"), ""));
    assert_eq!(take("-c a=1 --waypool.backend=1 -e -c b=2"), taken(Some("1"), "-c a=1 -e -c b=2"));
    assert_eq!(take("-cwaypool.backend=0 -c waypool.backend=1"), taken(Some("1"), ""));
    assert_eq!(take(r"-c search_path=a,\ b\\c -fs"), taken(None, r"-c search_path=a,\ b\\c -fs"));
    assert_eq!(take("-c"), taken(None, "-c"));
    // The value of another setting.
    assert_eq!(take(r"-c a=-c\ waypool.backend=1"), taken(None, r"-c a=-c\ waypool.backend=1"));
}

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(Platform::parse(text).unwrap().to_string(), expected, "{text:?}");
}

#[test]
fn every_usual_spelling_comes_to_one() {
    check("linux/arm/v7", "linux/arm/v7");
    check("arm/v7", "linux/arm/v7");
    check("arm", "linux/arm/v7");
    check("linux/arm", "linux/arm/v7");
    check("arm/7", "linux/arm/v7");
    check("armhf", "linux/arm/v7");
    check("armel", "linux/arm/v6");
    check("linux/arm/6", "linux/arm/v6");
    check("linux/arm64", "linux/arm64");
    check("linux/arm64/v8", "linux/arm64");
    check("arm64/8", "linux/arm64");
    check("Linux/AArch64", "linux/arm64");
    check("linux/arm64/v8.2", "linux/arm64/v8.2");
    check("x86_64", "linux/amd64");
    check("x86-64/v3", "linux/amd64/v3");
    check("linux/amd64/v1", "linux/amd64");
    check("i386", "linux/386");
    check("riscv64", "linux/riscv64");
    check("windows/amd64", "windows/amd64");
}

#[test]
fn what_is_no_platform_is_refused_with_its_text_and_the_rule() {
    for bad in ["", "/", "linux", "linux/", "linux/arm/v7/x", "pdp11", "linux/arm/v 7", "toaster/arm/v7"] {
        let said = Platform::parse(bad).unwrap_err().to_string();
        assert!(said.contains(&format!("{bad:?}")), "{said}");
    }
}

#[track_caller]
fn runs(platform: &str, expected: &str) {
    let listed: Vec<String> = Platform::parse(platform)
        .unwrap()
        .only()
        .iter()
        .map(|p| p.to_string().replace("linux/", ""))
        .collect();
    assert_eq!(listed.join(" "), expected, "{platform}");
}

#[test]
fn the_order_is_the_one_of_containerd() {
    runs("amd64", "amd64 386");
    runs("amd64/v2", "amd64/v2 amd64 386");
    runs("amd64/v4", "amd64/v4 amd64/v3 amd64/v2 amd64 386");
    runs("386", "386");
    runs("arm/v8", "arm/v8 arm/v7 arm/v6 arm/v5");
    runs("arm/v7", "arm/v7 arm/v6 arm/v5");
    runs("arm/v6", "arm/v6 arm/v5");
    runs("arm/v5", "arm/v5");
    runs("linux/arm/v4", "arm/v4");
    runs("arm64", "arm64 arm/v8 arm/v7 arm/v6 arm/v5");
    runs("arm64/v8.1", "arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5");
    runs(
        "arm64/v9.1",
        "arm64/v9.1 arm64/v9 arm64/v8.6 arm64/v8.5 arm64/v8.4 arm64/v8.3 arm64/v8.2 arm64/v8.1 arm64 \
         arm/v8 arm/v7 arm/v6 arm/v5",
    );
    runs("riscv64", "riscv64");
}

#[test]
fn a_made_up_level_does_not_make_a_long_list() {
    runs("arm/v4000000000", "arm/v4000000000");
    runs("amd64/v99", "amd64/v99 386");
    assert!(Platform::parse("arm64/v9.4000000000").unwrap().only().len() < 10);
}

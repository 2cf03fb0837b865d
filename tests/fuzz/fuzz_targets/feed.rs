//! Feeds the target that the environment names: by libFuzzer, or without it with the files it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
static TARGET: std::sync::LazyLock<coracle_fuzz::Target> =
    std::sync::LazyLock::new(coracle_fuzz::Target::chosen);

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(
    init: {
        std::sync::LazyLock::force(&TARGET);
    },
    |data: &[u8]| (TARGET.run)(data)
);

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    coracle_fuzz::main()
}

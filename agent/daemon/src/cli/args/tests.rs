use super::*;

fn run(line: &str) -> Run {
    let Command::Run(run) = Arguments::try_parse_from(line.split_whitespace()).unwrap().command else {
        panic!("{line} is not a run line")
    };
    *run
}

#[test]
fn the_line_of_2018_is_taken_unchanged() {
    let run = run("coracle run -dit --net=host --read-only --tmpfs=/var/run \
         -v /host/nginx.conf:/etc/nginx/nginx.conf --add-host=mgmt.foundries.io:127.0.0.1 \
         --name nginx-coap-proxy opensourcefoundries/nginx:latest");
    assert!(run.detach && run.interactive && run.tty && run.read_only);
    assert_eq!(run.network.as_deref(), Some("host"));
    assert_eq!(run.tmpfs, ["/var/run"]);
    assert_eq!(run.volume, ["/host/nginx.conf:/etc/nginx/nginx.conf"]);
    assert_eq!(run.add_host, ["mgmt.foundries.io:127.0.0.1"]);
    assert_eq!(run.name.as_deref(), Some("nginx-coap-proxy"));
    assert_eq!(run.words, ["opensourcefoundries/nginx:latest"]);
}

#[test]
fn words_after_the_image_belong_to_the_container() {
    let run = run("coracle run --net none alpine sh -c exit --name x");
    assert_eq!(run.words, ["alpine", "sh", "-c", "exit", "--name", "x"]);
    assert_eq!(run.name, None);
}

#[test]
fn the_command_line_is_sound() {
    use clap::CommandFactory as _;
    Arguments::command().debug_assert();
}

/// The commands in a page of the manual: code within a line, and lines of code.
fn commands(page: &str) -> impl Iterator<Item = &str> {
    let within = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let lines = page.lines().filter(|line| !line.contains('`'));
    within.chain(lines).map(str::trim).filter(|code| code.starts_with("coracle "))
}

#[test]
fn each_command_that_integrators_are_told_is_one() {
    let pages = [
        include_str!("../../../../docs/agent-updates.md"),
        include_str!("../../../../docs/checklist.md"),
        include_str!("../../../../docs/quick-start.md"),
    ];
    for page in pages {
        assert!(commands(page).count() > 3);
        for command in commands(page) {
            let parsed = Arguments::try_parse_from(command.split_whitespace());
            assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
        }
    }
}

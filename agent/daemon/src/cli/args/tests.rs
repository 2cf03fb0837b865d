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

//! Every key there is: its type, default and meaning. `agent/docs/config.md` is held equal with this table by a test.

/// What a key's value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A string naming an absolute path.
    Path,
    /// `true` or `false`.
    Switch,
    /// A whole number between two bounds, both included.
    Count {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A list of strings.
    List,
    /// A string or a list of strings.
    TextOrList,
}

impl Kind {
    /// For people.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Text => "a string".to_owned(),
            Self::Path => "an absolute path".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Count { min, max } => format!("a number from {min} to {max}"),
            Self::List => "a list of strings".to_owned(),
            Self::TextOrList => "a string or a list of strings".to_owned(),
        }
    }
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// With its section: `broker.url`.
    pub(crate) name: &'static str,
    /// What its value must be.
    pub(crate) kind: Kind,
    /// What holds where it is absent, as TOML or in words.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test holds the documentation equal to it"))]
    pub(crate) default: &'static str,
    /// What it does, with the unit.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test holds the documentation equal to it"))]
    pub(crate) meaning: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key { name, kind, default, meaning }
}

/// All keys, in the order they are shown.
pub(crate) const KEYS: &[Key] = &[
    key(
        "device_id",
        Kind::Text,
        "from machine-id",
        "Name of this board in MQTT topics: 1 to 64 of `A-Z a-z 0-9 _ -`. The default is a hash of `/etc/machine-id`, else the host name.",
    ),
    key(
        "device_id_from",
        Kind::Text,
        "machine-id, else host name",
        "Name the board after one thing alone: `\"machine-id\"`, `\"hostname\"`, `\"serial\"` (device tree or DMI) or `\"certificate\"` (the common name in `broker.cert_file`). Where that is not there yet, the agent waits for it.",
    ),
    key("groups", Kind::List, "[]", "Groups whose desired state this board follows too; at most 4."),
    key(
        "state_dir",
        Kind::Path,
        "\"/var/lib/coracle\"",
        "Layers, images and the journal. Must be on a disk that keeps its content, not on a tmpfs or an overlay.",
    ),
    key(
        "run_dir",
        Kind::Path,
        "\"/run/coracle\"",
        "Bundles, sockets and logs of running workloads; rebuilt after a boot, so a tmpfs is right.",
    ),
    key(
        "platform",
        Kind::TextOrList,
        "detected",
        "Platforms this board runs, best first (`linux/arm/v7`), instead of what was detected.",
    ),
    key(
        "accept_tags",
        Kind::Switch,
        "false",
        "Take desired documents whose images carry a tag and no digest; the board then resolves the tag itself.",
    ),
    key(
        "default_network",
        Kind::Text,
        "none: a service must say",
        "`\"host\"` or `\"none\"`: the network of a service that does not name one.",
    ),
    key(
        "supervisor",
        Kind::Text,
        "\"auto\"",
        "Who stands over workloads: `\"systemd\"`, a unit for each; `\"direct\"`, small processes of the agent's own; `\"auto\"`, systemd where it runs the board and `coracle-workload@.service` is installed.",
    ),
    key(
        "trust.unsigned",
        Kind::Switch,
        "false",
        "Take any desired document, and verify no signature: whoever may publish on the broker decides what runs. The reported state says so from the first such document on.",
    ),
    key(
        "trust.keys_dir",
        Kind::Path,
        "\"/usr/share/coracle/trust.d\"",
        "Keys that this board believes: `trust.json`, or `*.pub` that deploy and `root/*.pub` that replace keys. Belongs into the read-only part of the image.",
    ),
    key(
        "trust.image_policy",
        Kind::Path,
        "\"/usr/share/coracle/policy.json\"",
        "Which images must be signed, and by whom, in the form of `policy.json` of podman. Where the default is not there nothing is demanded; a file that is named must be there. Belongs into the read-only part of the image.",
    ),
    key(
        "broker.url",
        Kind::Text,
        "no broker",
        "`mqtt://host[:1883]` or `mqtts://host[:8883]` (TLS). Without it the agent runs what it has and hears nothing.",
    ),
    key("broker.version", Kind::Text, "\"5\"", "MQTT version: `\"5\"` or `\"3.1.1\"`."),
    key(
        "broker.root",
        Kind::Text,
        "\"coracle/v1\"",
        "Start of every topic: 1 to 3 levels of `A-Z a-z 0-9 _ -`, so that no topic has more than six slashes.",
    ),
    key("broker.username", Kind::Text, "none", "User name at the broker."),
    key(
        "broker.password_file",
        Kind::Path,
        "none",
        "File whose first line is the password. No one but its owner may read it.",
    ),
    key(
        "broker.ca_file",
        Kind::Path,
        "the system's CA store",
        "PEM file of the CAs that vouch for the broker.",
    ),
    key(
        "broker.tls_name",
        Kind::Text,
        "the host in `broker.url`",
        "Name that is asked for (SNI) and that the broker's certificate must have, for a broker that is reached by an address or through a tunnel.",
    ),
    key(
        "broker.pin_sha256",
        Kind::List,
        "any key that a CA vouches for",
        "SHA-256, in hex, of the public keys that the broker may have, beside being vouched for; at most 8.",
    ),
    key(
        "broker.proxy",
        Kind::Text,
        "none",
        "`http://[user:password@]host[:port]` of an HTTP proxy that the broker is reached through, by `CONNECT`; needs `mqtts://`. With a password in it, no one but its owner may read the configuration file.",
    ),
    key(
        "broker.cert_file",
        Kind::Path,
        "none",
        "PEM file of this board's client certificate, with what stands between it and the CA; needs `key_file`.",
    ),
    key(
        "broker.key_file",
        Kind::Path,
        "none",
        "PEM file of its private key: PKCS#8, SEC1 or PKCS#1. No one but its owner may read it; needs `cert_file`.",
    ),
    key(
        "broker.keepalive_seconds",
        Kind::Count { min: 10, max: 3600 },
        "120",
        "Seconds of silence after which a sign of life is exchanged.",
    ),
    key(
        "broker.first_connect_splay_seconds",
        Kind::Count { min: 0, max: 3600 },
        "10",
        "The first connection after a start waits a random time of at most so many seconds, so that a fleet does not come at once.",
    ),
    key(
        "broker.group_commands",
        Kind::Switch,
        "true",
        "Listen to commands for the groups of this board, too. Brokers take eight filters, so a board in more than two groups cannot, and does not.",
    ),
    key("registry.insecure", Kind::List, "[]", "Registries (`host[:port]`) reached over plain HTTP."),
    key(
        "registry.auth_file",
        Kind::Path,
        "where podman and docker look",
        "Credentials in the form of `auth.json`. No one but its owner may read it.",
    ),
    key(
        "registry.certs_dir",
        Kind::Path,
        "\"/etc/containers/certs.d\"",
        "A folder `host[:port]/` a registry, with its CA (`*.crt`), and the board's certificate (`*.cert`) and key (`*.key`) where it wants one.",
    ),
    key(
        "registry.registries_conf",
        Kind::Path,
        "\"/etc/containers/registries.conf\"",
        "Containers' own registry settings.",
    ),
    key(
        "registry.ca_file",
        Kind::Path,
        "the system's CA store",
        "PEM file of the CAs that vouch for the registries.",
    ),
    key(
        "registry.proxy",
        Kind::Text,
        "HTTPS_PROXY of the environment",
        "`http://[user:password@]host[:port]` of an HTTP proxy that registries are reached through, but for those in `insecure`. With a password in it, no one but its owner may read the configuration file.",
    ),
    key(
        "registry.no_proxy",
        Kind::List,
        "NO_PROXY of the environment",
        "Hosts, domains (`.example.com`) and networks (`10.0.0.0/8`) that are reached without `registry.proxy`.",
    ),
    key(
        "runtime.path",
        Kind::Text,
        "\"crun\"",
        "The OCI runtime: a name looked up in PATH, or an absolute path.",
    ),
    key(
        "runtime.seccomp_profile",
        Kind::Path,
        "the system's containers profile",
        "Seccomp profile of workloads, in docker's form.",
    ),
    key(
        "runtime.log_bytes_max",
        Kind::Count { min: 4096, max: 1 << 30 },
        "1048576",
        "Bytes of output kept for each workload, in `run_dir`.",
    ),
    key(
        "pull.concurrency",
        Kind::Count { min: 1, max: 8 },
        "2",
        "Layers of one image fetched at the same time.",
    ),
    key(
        "pace.least_percent",
        Kind::Count { min: 1, max: 100 },
        "10",
        "Percent of its speed that the fetching and unpacking of an image keeps, however much workloads wait for processor, disk or memory; `100`: it is never slowed.",
    ),
    key(
        "pace.groups",
        Kind::List,
        "[\"coracle.slice\",\"coracle\"]",
        "Control groups whose waits count, as `/proc/PID/cgroup` shows them, or full paths of their directories; at most 8. By default those of all workloads; add what else must not suffer (`\"system.slice/ui.service\"`).",
    ),
    key(
        "store.scrub_days",
        Kind::Count { min: 0, max: 3650 },
        "30",
        "Days between two passes that read the whole store in the background and repair what is damaged; 0 for none.",
    ),
    key(
        "store.scrub_after_seconds",
        Kind::Count { min: 0, max: 86_400 },
        "300",
        "Such a pass begins so many seconds after the start of the agent at the earliest, so that a boot is not slowed down.",
    ),
    key(
        "disk.high_percent",
        Kind::Count { min: 50, max: 100 },
        "85",
        "Percent of the disk in use above which images that nothing needs are removed, the oldest first; `100`: never by itself.",
    ),
    key(
        "disk.low_percent",
        Kind::Count { min: 10, max: 99 },
        "70",
        "Percent in use at which that ends; below `high_percent`.",
    ),
    key(
        "allow.privileged",
        Kind::List,
        "[]",
        "Who may be `privileged`, whoever signed: `project.service`, `project` for all of its services, `\"*\"` for all. Nothing else is asked of them.",
    ),
    key(
        "allow.capabilities",
        Kind::List,
        "[]",
        "What `cap_add` may name beside docker's fourteen: `\"NET_ADMIN\"`, or `\"ALL\"`.",
    ),
    key(
        "allow.devices",
        Kind::List,
        "[]",
        "Devices of the board that `devices` may name: a node, a directory for all below it, or `\"/dev/ttyUSB*\"`.",
    ),
    key(
        "allow.binds",
        Kind::List,
        "[\"/srv\",\"/mnt\",\"/media\",\"/etc/localtime:ro\",\"/etc/timezone:ro\",\"/usr/share/zoneinfo:ro\"]",
        "Files and directories of the board that may be mounted, with all below them; `:ro` only where the mount is read-only. Never the agent's own directories.",
    ),
    key(
        "allow.host_network",
        Kind::Switch,
        "true",
        "Services may use the board's own network (`network_mode: host`).",
    ),
    key(
        "allow.unconfined",
        Kind::List,
        "[]",
        "Who may go without a system call filter (`seccomp=unconfined`), named as in `privileged`.",
    ),
    key(
        "allow.sysctls",
        Kind::List,
        "[\"*\"]",
        "Kernel settings of the container's own namespaces that `sysctls` may name: `\"net.ipv4.ip_forward\"`, `\"net.*\"`. Others are never taken.",
    ),
    key(
        "lock.url",
        Kind::Text,
        "no server",
        "`http://` or `https://` address of a FleetLock server. With it, no update is applied before the server gives this board its turn, which is given back once the update has ended.",
    ),
    key(
        "lock.group",
        Kind::Text,
        "\"default\"",
        "Who shares the server's turns: 1 to 64 of `A-Z a-z 0-9 . -`.",
    ),
    key(
        "lock.ca_file",
        Kind::Path,
        "the system's CA store",
        "PEM file of the CAs that vouch for that server.",
    ),
];

/// The key of that name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The section of a key's name; empty for keys above all sections.
pub(crate) fn section(name: &str) -> &str {
    name.split_once('.').map_or("", |(section, _)| section)
}

/// What a section holds, for the message about an unknown key.
pub(crate) fn known_in(wanted: &str) -> Vec<&'static str> {
    let inside = KEYS.iter().filter(|key| section(key.name) == wanted);
    inside.map(|key| key.name.rsplit('.').next().unwrap_or(key.name)).collect()
}

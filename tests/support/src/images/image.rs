//! Images and indexes as documents, written here and pushed over plain HTTP.

use std::io;

use serde_json::{Value, json};

use super::busybox::{Arch, busybox};
use super::layer::{Layer, Packing, add_directory, add_file, add_link};
use super::push::{push_blob, push_manifest};

/// Which of the two families of media types a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OCI image index, manifest, config.
    Oci,
    /// Docker manifest list and schema 2.
    Docker,
}

impl Form {
    fn index(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.index.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    fn manifest(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.config.v1+json",
            Self::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    fn layer(self, packing: Packing) -> &'static str {
        match (self, packing) {
            (Self::Oci, Packing::Plain) => "application/vnd.oci.image.layer.v1.tar",
            (Self::Oci, Packing::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Docker, Packing::Plain) => "application/vnd.docker.image.rootfs.diff.tar",
            (Self::Docker, Packing::Gzip) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            #[cfg(feature = "protocols")]
            (_, Packing::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// An image of one platform.
#[derive(Clone, Debug)]
pub struct Image {
    /// Architecture as OCI names it.
    pub architecture: String,
    /// Variant as OCI names it.
    pub variant: Option<String>,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// The `config` object of the image config: entrypoint, command, environment and so on.
    pub exec: Value,
}

/// What an index needs to know of an image that is in the registry.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Media type of its manifest.
    pub media_type: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes of its manifest.
    pub size: usize,
    /// The `platform` object of its descriptor.
    pub platform: Value,
}

impl Image {
    /// An image of these layers for `arch` that runs `command`.
    pub fn new(arch: Arch, layers: Vec<Layer>, command: &[&str]) -> Self {
        let exec = json!({"Env": ["PATH=/bin:/usr/bin"], "Cmd": command});
        Self { architecture: arch.oci().into(), variant: arch.variant().map(Into::into), layers, exec }
    }

    /// Busybox with a link for each applet that tests use, and `command`.
    pub fn busybox(arch: Arch, command: &[&str]) -> io::Result<Self> {
        let layer = Layer::pack(&busybox_archive(arch)?, Packing::Gzip)?;
        Ok(Self::new(arch, vec![layer], command))
    }

    /// Busybox whose web server tells `text` to whoever calls it on this loopback port of the host.
    pub fn telling(arch: Arch, port: u16, text: &str) -> io::Result<Self> {
        let command = web_server(port);
        let mut image = Self::busybox(arch, &command.each_ref().map(String::as_str))?;
        image.layers.push(Layer::of_file("www/index.html", 0o644, text.as_bytes(), Packing::Gzip)?);
        Ok(image)
    }

    /// The image config.
    pub fn config(&self) -> Value {
        let mut config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": self.exec,
            "rootfs": {"type": "layers", "diff_ids": self.layers.iter().map(|l| &l.diff_id).collect::<Vec<_>>()},
        });
        if let Some(variant) = &self.variant {
            config["variant"] = json!(variant);
        }
        config
    }

    /// The manifest, given the config's bytes.
    pub fn manifest(&self, form: Form, config: &[u8]) -> Value {
        let layer = |l: &Layer| json!({"mediaType": form.layer(l.packing), "digest": l.digest, "size": l.bytes.len()});
        json!({
            "schemaVersion": 2,
            "mediaType": form.manifest(),
            "config": {
                "mediaType": form.config(), "digest": super::layer::sha256(config), "size": config.len()
            },
            "layers": self.layers.iter().map(layer).collect::<Vec<_>>(),
        })
    }

    /// Pushes blobs and manifest to `repository`, under `tag` if there is one.
    pub fn push(&self, host: &str, repository: &str, tag: Option<&str>, form: Form) -> io::Result<Pushed> {
        for layer in &self.layers {
            push_blob(host, repository, &layer.bytes)?;
        }
        let config = self.config().to_string().into_bytes();
        push_blob(host, repository, &config)?;
        let manifest = self.manifest(form, &config).to_string().into_bytes();
        let digest = push_manifest(host, repository, tag, form.manifest(), &manifest)?;
        let mut platform = json!({"architecture": self.architecture, "os": "linux"});
        if let Some(variant) = &self.variant {
            platform["variant"] = json!(variant);
        }
        Ok(Pushed { media_type: form.manifest().into(), digest, size: manifest.len(), platform })
    }
}

/// Joins images that are in `repository` to an index under `tag`; hands back its digest.
pub fn push_index(
    host: &str,
    repository: &str,
    tag: &str,
    images: &[Pushed],
    form: Form,
) -> io::Result<String> {
    let entry = |image: &Pushed| {
        json!({
            "mediaType": image.media_type, "digest": image.digest, "size": image.size, "platform": image.platform
        })
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": form.index(),
        "manifests": images.iter().map(entry).collect::<Vec<_>>(),
    });
    push_manifest(host, repository, Some(tag), form.index(), index.to_string().as_bytes())
}

/// A command that serves `/www` on this loopback port and ends at once when it is asked to.
///
/// A process 1 has no default action for SIGTERM, and busybox's server sets none: the shell does.
pub fn web_server(port: u16) -> [String; 3] {
    let script = format!("trap 'exit 0' TERM; httpd -f -p 127.0.0.1:{port} -h /www & wait");
    ["sh".into(), "-c".into(), script]
}

/// An archive with busybox, links to its applets, and the files that name users.
pub fn busybox_archive(arch: Arch) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for directory in ["bin", "dev", "etc", "proc", "sys", "root", "var", "www"] {
        add_directory(&mut archive, directory, 0o755)?;
    }
    add_directory(&mut archive, "tmp", 0o1777)?;
    add_file(&mut archive, "bin/busybox", 0o755, &std::fs::read(busybox(arch)?)?)?;
    for applet in APPLETS {
        add_link(&mut archive, tar::EntryType::Symlink, &format!("bin/{applet}"), "busybox")?;
    }
    let users = b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/www:/bin/sh\n";
    add_file(&mut archive, "etc/passwd", 0o644, users)?;
    add_file(&mut archive, "etc/group", 0o644, b"root:x:0:\nweb:x:33:\naudio:x:29:web\n")?;
    archive.into_inner()
}

const APPLETS: [&str; 34] = [
    "cat", "chmod", "cp", "date", "dd", "df", "echo", "env", "false", "free", "grep", "head", "hostname",
    "httpd", "id", "kill", "ln", "ls", "mkdir", "mount", "mv", "nc", "ping", "ps", "pwd", "rm", "sh",
    "sleep", "stat", "touch", "true", "uname", "wc", "wget",
];

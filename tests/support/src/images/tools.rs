//! An image for three architectures that umoci makes, skopeo pushes and buildah joins: nothing of it is ours.
//!
//! Umoci's manifests have no `mediaType` and its configs no variant, as many images in the wild.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::busybox::{Arch, busybox};
use super::image::Form;
use crate::process::run;
use crate::scratch::TempDir;

/// What the image for `arch` runs, and the files besides busybox that it has.
pub struct Content {
    /// The command.
    pub command: Vec<String>,
    /// Path and text of each further file; each becomes a layer.
    pub files: Vec<(String, String)>,
}

/// Makes, pushes and joins `host/name` for `archs`; hands back the digest of the index.
pub fn publish(
    host: &str,
    name: &str,
    form: Form,
    archs: &[Arch],
    content: impl Fn(Arch) -> Content,
) -> io::Result<String> {
    let dir = TempDir::new("tools");
    for arch in archs {
        let layout = dir.join(arch.oci());
        make(&layout, *arch, &content(*arch))?;
        let from = format!("oci:{}:image", layout.display());
        run(skopeo()
            .args(["copy", "-q", "--dest-tls-verify=false", &from])
            .arg(one_arch(host, name, *arch)))?;
    }
    join(&dir, host, name, form, archs)
}

fn one_arch(host: &str, name: &str, arch: Arch) -> String {
    let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
    format!("docker://{host}/{repository}:{tag}-{}", arch.oci())
}

fn make(layout: &Path, arch: Arch, content: &Content) -> io::Result<()> {
    let image = format!("{}:image", layout.display());
    let umoci = |words: &[&str]| run(Command::new("umoci").args(words));
    umoci(&["init", "--layout", &layout.to_string_lossy()])?;
    umoci(&["new", "--image", &image])?;
    let mut config = vec!["config", "--image", &image, "--os", "linux", "--architecture", arch.oci()];
    config.extend(["--config.env", "PATH=/bin"]);
    config.extend(content.command.iter().flat_map(|word| ["--config.cmd", word.as_str()]));
    umoci(&config)?;

    let files = TempDir::new("files");
    let bin = files.join("bin");
    fs::create_dir(&bin)?;
    fs::copy(busybox(arch)?, bin.join("busybox"))?;
    for applet in ["sh", "httpd", "cat", "ls", "sleep", "true", "uname", "wget"] {
        symlink("busybox", bin.join(applet))?;
    }
    umoci(&["insert", "--image", &image, &bin.to_string_lossy(), "/bin"])?;
    for (path, text) in &content.files {
        let file = files.join("file");
        fs::write(&file, text)?;
        umoci(&["insert", "--image", &image, &file.to_string_lossy(), path])?;
    }
    Ok(())
}

fn join(dir: &TempDir, host: &str, name: &str, form: Form, archs: &[Arch]) -> io::Result<String> {
    let buildah = |words: &[&str]| {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(dir.join("root")).arg("--runroot").arg(dir.join("runroot"));
        run(command.args(["--storage-driver", "vfs"]).args(words))
    };
    buildah(&["manifest", "create", "joined"])?;
    for arch in archs {
        let mut words = vec!["manifest", "add", "--tls-verify=false", "--arch", arch.oci()];
        words.extend(arch.variant().into_iter().flat_map(|variant| ["--variant", variant]));
        let image = one_arch(host, name, *arch);
        buildah(&[&words[..], &["joined", &image]].concat())?;
    }
    let format = match form {
        Form::Oci => "oci",
        Form::Docker => "v2s2",
    };
    let to = format!("docker://{host}/{name}");
    let digest = dir.join("digest");
    let noted = format!("--digestfile={}", digest.display());
    buildah(&["manifest", "push", "-q", &noted, "--all", "--tls-verify=false", "-f", format, "joined", &to])?;
    Ok(fs::read_to_string(digest)?.trim().to_owned())
}

/// Copies an image within registries, its layers packed anew with zstd.
///
/// By way of a directory: skopeo would find the old layers in the registry and leave them as they are.
pub fn recompress_with_zstd(from: &str, to: &str) -> io::Result<()> {
    let dir = TempDir::new("zstd");
    let layout = format!("oci:{}:image", dir.join("layout").display());
    let mut pull = skopeo();
    pull.args(["copy", "-q", "--src-tls-verify=false", "--dest-compress", "--dest-compress-format", "zstd"]);
    run(pull.arg(format!("docker://{from}")).arg(&layout))?;
    run(skopeo().args(["copy", "-q", "--dest-tls-verify=false", &layout]).arg(format!("docker://{to}")))
        .map(drop)
}

fn skopeo() -> Command {
    Command::new("skopeo")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn the_tools_make_an_index_and_a_list_of_three_platforms() {
        let registry = Registry::start().unwrap();
        for (form, media_type) in
            [(Form::Oci, "oci.image.index"), (Form::Docker, "docker.distribution.manifest.list")]
        {
            let content = |arch: Arch| Content {
                command: vec!["uname".into(), "-m".into()],
                files: vec![("/etc/platform".into(), arch.platform())],
            };
            let digest = publish(&registry.host(), "made/by-tools:1", form, &Arch::ALL, content).unwrap();
            let url = format!("docker://{}@{digest}", registry.reference("made/by-tools"));
            let index = run(skopeo().args(["inspect", "--raw", "--tls-verify=false", &url])).unwrap();
            assert!(index.contains(media_type), "{index}");
            assert!(index.contains("amd64") && index.contains("arm64") && index.contains("v7"), "{index}");
        }
    }

    #[test]
    fn a_copy_with_zstd_says_so_in_its_media_types() {
        let registry = Registry::start().unwrap();
        let image = super::super::Image::busybox(Arch::Amd64, &["true"]).unwrap();
        image.push(&registry.host(), "made/here", Some("1"), Form::Oci).unwrap();
        let (from, to) = (registry.reference("made/here:1"), registry.reference("made/here:zstd"));
        recompress_with_zstd(&from, &to).unwrap();
        let url = format!("docker://{to}");
        let manifest = run(skopeo().args(["inspect", "--raw", "--tls-verify=false", &url])).unwrap();
        assert!(manifest.contains("tar+zstd"), "{manifest}");
    }
}

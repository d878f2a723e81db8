//! The folders and the process of a step's container.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use test_support::work_dir;

use crate::{definition::Step, dns::NameServer, own_image::OwnImage};

/// A user that is in no list of users, of group 0: what OpenShift gives a container.
const USER: &str = "1000650000";

/// Where the step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a root folder of its own, which is read-only, as a user who is not root, with the
    /// volumes where they are mounted in a pod.
    Container,
    /// As a process of this machine: paths of the pod are replaced by those of its folders.
    Process,
}

impl Place {
    /// A container if this machine allows that.
    pub(crate) fn best() -> Self {
        let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "true"]).stderr(Stdio::null());
        if is_root && unshare.status().is_ok_and(|status| status.success()) {
            Self::Container
        } else {
            eprintln!("no mounts are allowed here, so steps run as processes");
            Self::Process
        }
    }
}

/// The folders of a pod with one step.
pub(crate) struct Pod {
    dir: TempDir,
    /// What a container holds; without it, the program that was built with the tests.
    pub(crate) image: Option<OwnImage>,
    pub(crate) user: String,
}

impl Pod {
    pub(crate) fn new(step: &str) -> Self {
        let pod = Self { dir: work_dir(), image: OwnImage::find(), user: format!("{USER}:0") };
        pod.name(&[], None);
        for folder in ["creds", "home", "results", "run", &format!("steps/step-{step}/results")]
            .map(str::to_owned)
        {
            pod.folder(&format!("/tekton/{folder}"));
        }
        pod
    }

    /// The folder that the pod sees as `path`. Anybody may write to it, as to an `emptyDir`.
    pub(crate) fn folder(&self, path: &str) -> PathBuf {
        let folder = self.dir.path().join(path.trim_start_matches('/'));
        if !folder.exists() {
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        }
        folder
    }

    /// The pod's own list of names, and the server for all others.
    pub(crate) fn name(&self, aliases: &[&str], server: Option<&NameServer>) {
        let hosts = format!("127.0.0.1 localhost {}\n", aliases.join(" "));
        fs::write(self.dir.path().join("hosts"), hosts).unwrap();
        if let Some(server) = server {
            fs::write(self.dir.path().join("resolv.conf"), server.resolv_conf()).unwrap();
        }
    }

    /// The file that Tekton's entrypoint leaves for the step; nobody else may read it.
    pub(crate) fn write_credentials(&self, place: Place, config: &str) {
        let file = self.folder("/tekton/creds/.docker").join("config.json");
        fs::write(&file, config).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        if place == Place::Container {
            chown(file, Some(USER.parse().unwrap()), Some(0)).unwrap();
        }
    }

    /// Runs a step whose variables have been substituted, with its own environment, that of the
    /// image, and no other.
    pub(crate) fn run(&self, place: Place, step: &Step) -> Output {
        for mount in &step.volume_mounts {
            self.folder(&mount.mount_path);
        }
        let binary = Path::new(env!("CARGO_BIN_EXE_recompress-image"));
        let env =
            step.env.iter().map(|variable| (&variable.name, variable.value.as_str().unwrap()));
        let words = step.command.iter().chain(&step.args);
        let mut command = match place {
            Place::Container => {
                let read_only = step.volume_mounts.iter().filter(|mount| mount.read_only);
                let read_only: Vec<_> = read_only.map(|mount| mount.mount_path.as_str()).collect();
                let image = self.image.as_ref();
                let content = image.map_or(binary, |image| &image.root);
                let emulator = image.and_then(|image| image.emulator.clone()).unwrap_or_default();
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "--propagation=private", "sh", "-c", include_str!("pod.sh")])
                    .args(["pod.sh".as_ref(), self.dir.path(), content, &emulator])
                    .args([&self.user, &read_only.join(" ")])
                    .args(words)
                    .env_clear()
                    .envs(image.iter().flat_map(|image| image.env()))
                    .envs(env);
                command
            }
            Place::Process => {
                let mut words = words.map(|word| self.outside(word));
                let program = words.next().unwrap();
                assert_eq!(program, "/recompress-image");
                let mut command = Command::new(binary);
                command.args(words).env_clear().envs(env.map(|(k, v)| (k, self.outside(v))));
                command
            }
        };
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// A path of the pod as this machine sees it; any other text as it is.
    fn outside(&self, text: &str) -> String {
        let is_of_pod = |top: &str| Path::new(text).starts_with(top);
        if ["/tekton", "/scratch", "/mnt"].into_iter().any(is_of_pod) {
            format!("{}{text}", self.dir.path().display())
        } else {
            text.to_owned()
        }
    }
}

/// Or the tests would show less than they say.
#[test]
fn a_container_is_restricted() {
    if Place::best() == Place::Process {
        return;
    }
    let step = "{name: s, command: [/bin/sh], args: ['-c', 'id -u; id -G; env; \
                for f in /x /tekton/results/x /scratch/x /mnt/trusted-ca/x; do \
                touch $f 2>/dev/null && echo $f; done; grep -E \"NoNewPrivs|CapEff\" /proc/self/status'], \
                env: [{name: A, value: b}], volumeMounts: [{name: s, mountPath: /scratch}, \
                {name: t, mountPath: /mnt/trusted-ca, readOnly: true}]}";
    let step: Step = serde_saphyr::from_str(step).unwrap();
    // No image of ours has a shell.
    let mut pod = Pod::new("s");
    pod.image = None;
    let output = pod.run(Place::Container, &step);
    let told = String::from_utf8(output.stdout).unwrap();
    let shell = |line: &&str| !line.starts_with("PWD=");
    let lines: Vec<_> = told.lines().filter(shell).collect();
    assert_eq!(
        lines,
        [
            USER,
            "0",
            "A=b",
            "/tekton/results/x",
            "/scratch/x",
            "CapEff:\t0000000000000000",
            "NoNewPrivs:\t1"
        ],
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

//! nginx before a registry, as in many clusters.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::peer::free_port;

/// A running nginx, stopped on drop.
pub(crate) struct Nginx {
    process: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Nginx {
    /// Passes requests on to `target` (host and port). `http` and `location` are more of its
    /// configuration.
    pub(crate) fn start(target: &str, http: &str, location: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};\n", at(name)))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {};\nerror_log {} warn;\n\
             events {{}}\nhttp {{\nlog_format told '$request_method $uri $status $content_length';\n\
             access_log {} told;\n{temporary}{http}\nserver {{\nlisten 127.0.0.1:{port};\n\
             location / {{\nproxy_pass http://{target};\nproxy_set_header Host $http_host;\n\
             proxy_http_version 1.1;\n{location}\n}}\n}}\n}}\n",
            at("pid"),
            at("error.log"),
            at("access.log"),
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let mut process = Command::new(program())
            .arg("-p")
            .arg(dir.path())
            .arg("-c")
            .arg(dir.path().join("nginx.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx has to be installed (Debian package nginx-light or nginx)");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(dir.path().join("error.log")).unwrap_or_default();
            assert_eq!(process.try_wait().unwrap(), None, "nginx has ended: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
        Self { process, port, dir }
    }

    /// Host and port.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The requests so far: method, status, and the announced length of the body.
    pub(crate) fn requests(&self) -> Vec<(String, u16, u64)> {
        let log = fs::read_to_string(self.dir.path().join("access.log")).unwrap();
        let parse = |line: &str| {
            let [method, _, status, length] = line.split(' ').collect::<Vec<_>>()[..] else {
                return None;
            };
            Some((method.to_owned(), status.parse().ok()?, length.parse().unwrap_or(0)))
        };
        log.lines().filter_map(parse).collect()
    }

    /// How many requests of a method were answered with a status.
    pub(crate) fn count(&self, method: &str, status: u16) -> usize {
        self.requests().iter().filter(|(sent, got, _)| sent == method && *got == status).count()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Debian keeps it out of the path of users.
fn program() -> PathBuf {
    let usual = Path::new("/usr/sbin/nginx");
    if usual.exists() { usual.to_owned() } else { PathBuf::from("nginx") }
}

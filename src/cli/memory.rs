//! How much memory the program may take, as the control groups of Linux say (cgroups(7)).

use std::{fs, path::Path};

/// The lowest limit of this process's groups in bytes; `None` if there is none, or that is unknown.
pub(super) fn limit() -> Option<u64> {
    limit_below(Path::new("/"))
}

fn limit_below(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().filter_map(|line| limit_of(root, line)).min()
}

/// `line` is as in `0::/GROUP` (version 2) or `4:memory:/GROUP` (version 1).
fn limit_of(root: &Path, line: &str) -> Option<u64> {
    let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|controller| controller == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    // In a container, the group may be mounted in place of the root.
    let group = Path::new(group.trim_start_matches('/'));
    let limit = |group: &Path| {
        let text = fs::read_to_string(root.join(mount).join(group).join(file)).ok()?;
        text.trim().parse().ok()
    };
    group.ancestors().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_lowest_limit_counts() {
        #[expect(clippy::type_complexity, reason = "it is written once")]
        let cases: [(&str, &[(&str, &str)], Option<u64>); 6] = [
            ("0::/", &[("memory.max", "536870912\n")], Some(512 << 20)),
            ("0::/", &[("memory.max", "max\n")], None),
            ("0::/a/b", &[("a/memory.max", "100"), ("a/b/memory.max", "max")], Some(100)),
            ("0::/a/b", &[("a/memory.max", "100"), ("a/b/memory.max", "50")], Some(50)),
            (
                "5:cpu,memory:/a\n0::/",
                &[("memory/a/memory.limit_in_bytes", "70"), ("memory.max", "max")],
                Some(70),
            ),
            // Of another process's view.
            ("4:memory:/gone", &[("memory/memory.limit_in_bytes", "80")], Some(80)),
        ];
        for (groups, files, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            let write = |path: &str, text: &str| {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            };
            write("proc/self/cgroup", groups);
            for (path, text) in files {
                write(&format!("sys/fs/cgroup/{path}"), text);
            }
            assert_eq!(limit_below(root.path()), expected, "{groups}");
        }
    }
}

//! Paths of a world as text: absolute and `/`-separated, whatever the host.

/// The links that the kernel follows on the way of one path.
///
/// Source: MAXSYMLINKS in include/linux/namei.h.
pub const MAX_LINKS: usize = 40;

/// The part behind the last slash.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The directory part of an absolute path, without a slash at its end; `/` for a path in the root.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// The path with `.`, empty and `..` parts taken out, by text alone; absolute paths only.
pub fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The path with all links followed; empty for the root, `None` if there are more links than [`MAX_LINKS`].
///
/// `link_at` is asked for each path on the way, which has no link above its last part: the target of the link that
/// stands there, or `None` for anything else.
///
/// # Errors
///
/// The first error of `link_at`.
pub fn follow<E>(
    path: &str,
    mut link_at: impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut at = String::new();
    let mut n_links = 0;
    while let Some(part) = rest.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                at.truncate(at.rfind('/').unwrap_or(0));
                continue;
            }
            _ => {}
        }
        let above = at.len();
        at.push('/');
        at.push_str(&part);
        let Some(target) = link_at(&at)? else { continue };
        n_links += 1;
        if n_links > MAX_LINKS {
            return Ok(None);
        }
        at.truncate(if target.starts_with('/') { 0 } else { above });
        rest.extend(target.split('/').rev().map(str::to_owned));
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Result<Option<&str>, ()>) {
        let link_at = |at: &str| match at {
            "/lib" => Ok(Some("usr/lib64/".to_owned())),
            "/usr/lib64/up" => Ok(Some("../../etc".to_owned())),
            "/usr/lib64/root" => Ok(Some("/".to_owned())),
            "/loop" => Ok(Some("./loop".to_owned())),
            "/gone" => Err(()),
            _ => Ok(None),
        };
        assert_eq!(follow(path, link_at), expected.map(|path| path.map(str::to_owned)), "{path}");
    }

    #[test]
    fn links_are_followed_name_by_name() {
        check("/lib/libz.so.1", Ok(Some("/usr/lib64/libz.so.1")));
        check("/lib/up/./hosts", Ok(Some("/etc/hosts")));
        check("/lib/../etc", Ok(Some("/usr/etc")));
        check("/lib/root/../..//lib", Ok(Some("/usr/lib64")));
        check("/", Ok(Some("")));
        check("/loop/x", Ok(None));
        check("/gone/x", Err(()));
    }
}

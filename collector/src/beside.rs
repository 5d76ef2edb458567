//! The store that a configuration names, for commands that work beside a running collector.

use std::path::Path;

use sekimori_wire::text::BoundedText;

use crate::config::Config;
use crate::store::Store;

/// To change something.
///
/// # Errors
/// If the configuration or the store cannot be used.
pub async fn open(path: &Path) -> anyhow::Result<(Config, Store)> {
    let config = Config::load(path)?;
    let store = Store::open(config.store()).await?;
    Ok((config, store))
}

/// Who sits at the command line, as the audit log names them: the user of the operating system, and whom `sudo` says to have
/// been before.
pub fn operator() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(uid) = std::fs::metadata("/proc/self").map(|process| process.uid()) else {
        return "unknown".to_owned();
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = name_of(&users, uid).unwrap_or_else(|| format!("uid {uid}"));
    match std::env::var("SUDO_USER") {
        Ok(before) if uid == 0 && !before.is_empty() => {
            format!("{name} (sudo: {})", BoundedText::<64>::new(&before))
        }
        Ok(_) | Err(_) => name,
    }
}

/// From the lines of `/etc/passwd`.
fn name_of(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| BoundedText::<64>::new(name).to_string())
    })
}

/// To look at it.
///
/// # Errors
/// As [`open`].
pub async fn read_only(path: &Path) -> anyhow::Result<Store> {
    Ok(Store::open_read_only(Config::load(path)?.store()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_has_a_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nwatch:x:1001:1001::/:/bin/sh\n";
        assert_eq!(name_of(users, 1001).as_deref(), Some("watch"));
        assert_eq!(name_of(users, 7), None);
        assert!(!operator().is_empty());
    }
}

//! Where a store is: a file, or servers of which one takes writes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;

/// Addresses of one server and those that take over from it.
const ADDRESSES_MAX: usize = 8;

/// Where a store is.
#[derive(Clone, Debug)]
pub enum Place {
    /// SQLite: a file.
    File(PathBuf),
    /// PostgreSQL: its addresses, tried in order until one takes writes.
    Servers(Servers),
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Self {
        place.clone()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Servers(servers) => {
                let names: Vec<String> = servers.0.iter().map(Server::to_string).collect();
                write!(f, "{}", names.join(", "))
            }
        }
    }
}

/// The addresses of one URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers(pub(super) Vec<Server>);

/// One address. Shows neither name nor password.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) options: PgConnectOptions,
    url: String,
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for Server {}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.options.get_database().unwrap_or_else(|| self.options.get_username());
        match self.options.get_socket() {
            Some(folder) => write!(f, "{}:{}/{database}", folder.display(), self.options.get_port()),
            None => write!(f, "{}:{}/{database}", self.options.get_host(), self.options.get_port()),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Servers {
    /// Reads `postgres://USER@HOST[:PORT][,HOST[:PORT]…]/DATABASE[?sslmode=…]`.
    ///
    /// # Errors
    /// What is wrong with it; never the URL itself, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is postgres://USER@HOST[:PORT][,HOST[:PORT]…]/DATABASE[?sslmode=…]";
        let (scheme, rest) = url.split_once("://").ok_or(FORM)?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(FORM);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).ok_or(FORM)?);
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let at = if user.is_empty() { "" } else { "@" };
        let servers = hosts.split(',').map(|host| {
            let url = format!("postgres://{user}{at}{host}{path}");
            let options = PgConnectOptions::from_str(&url)?.application_name("sekimori");
            Ok(Server { options, url })
        });
        let servers = servers.collect::<Result<Vec<_>, sqlx::Error>>().map_err(|_cause| FORM)?;
        if servers.len() > ADDRESSES_MAX {
            return Err("names at most 8 addresses");
        }
        Ok(Self(servers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_addresses_are_one_store_and_nothing_shows_the_password() {
        let servers =
            Servers::parse("postgres://me:s3cret@db1:6432,db2,[::1]:7/sekimori?sslmode=require").unwrap();
        let place = Place::Servers(servers);
        assert_eq!(place.to_string(), "db1:6432/sekimori, db2:5432/sekimori, [::1]:7/sekimori");
        assert!(!format!("{place:?}").contains("s3cret"));
        let socket = Servers::parse("postgresql:///sekimori?host=/run/postgresql&user=me").unwrap();
        assert_eq!(Place::Servers(socket).to_string(), "/run/postgresql:5432/sekimori");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["", "sekimori.db", "mysql://h/d", "postgres://h:port/d", "postgres://h"] {
            assert!(Servers::parse(bad).is_err(), "{bad}");
        }
        assert!(Servers::parse(&format!("postgres://{}/d", ["h"; 9].join(","))).is_err());
    }
}

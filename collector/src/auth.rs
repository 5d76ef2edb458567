//! Who may use the console.

pub mod password;

//! The mappings that come with the agent, as they are written: whoever has a reader of TOML reads them.

macro_rules! files {
    ($($name:literal)*) => {
        /// Name and text of each file, in the order in which they are tried: products before formats.
        pub const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../data/mappings/", $name, ".toml"))),)*];
    };
}

files! {
    "suricata" "wazuh" "defender" "crowdstrike" "sysmon" "windows" "osquery" "fortigate" "paloalto" "asa" "yamaha" "leef" "cef"
}

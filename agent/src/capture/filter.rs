//! BPF filters in tcpdump's language, compiled by libpcap: attached to the ring, or run over the frames of a file.
//!
//! The kernel takes VLAN tags out of a frame before a ring's filter sees it, so that `vlan` would silently match
//! nothing there: [`ring_program`] refuses it.

/// One instruction of classic BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jump_true: u8,
    pub(crate) jump_false: u8,
    pub(crate) constant: u32,
}

/// Why a filter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("filter `{filter}`: {reason}")]
    Compile { filter: String, reason: String },
    #[error(
        "filter `{filter}`: the kernel takes VLAN tags out of a frame before the ring's filter sees it; \
         a filter on `vlan` needs engine = \"pcap\""
    )]
    VlanOnRing { filter: String },
    #[cfg(not(feature = "pcap"))]
    #[error("filter `{filter}`: this build has no filter compiler (feature `pcap`)")]
    NoCompiler { filter: String },
}

/// What the kernel shall run over the frames of a ring.
pub(crate) fn ring_program(filter: &str, link: u32) -> Result<Vec<Instruction>, FilterError> {
    if filter.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "vlan") {
        return Err(FilterError::VlanOnRing { filter: filter.to_owned() });
    }
    compiled::instructions(filter, link)
}

/// A filter over the frames of capture files, compiled once for each link type met.
pub(crate) struct Filter {
    text: String,
    programs: Vec<(u32, compiled::Program)>,
}

impl core::fmt::Debug for Filter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Filter").field("text", &self.text).finish_non_exhaustive()
    }
}

impl Filter {
    /// A filter that at least Ethernet frames can be tried with.
    pub(crate) fn new(text: &str) -> Result<Self, FilterError> {
        let mut filter = Self { text: text.to_owned(), programs: Vec::new() };
        filter.matches(1, &[])?;
        Ok(filter)
    }

    /// Whether the frame passes. Fails if the filter makes no sense for the link type.
    pub(crate) fn matches(&mut self, link: u32, bytes: &[u8]) -> Result<bool, FilterError> {
        if let Some((_, program)) = self.programs.iter().find(|(known, _)| *known == link) {
            return Ok(program.filter(bytes));
        }
        let program = compiled::compile(&self.text, link)?;
        let passes = program.filter(bytes);
        self.programs.push((link, program));
        Ok(passes)
    }
}

#[cfg(feature = "pcap")]
mod compiled {
    //! With libpcap.

    use pcap::{Capture, Linktype};

    use super::{FilterError, Instruction};

    pub(super) type Program = pcap::BpfProgram;

    pub(super) fn compile(filter: &str, link: u32) -> Result<Program, FilterError> {
        let refused = |cause: pcap::Error| FilterError::Compile {
            filter: filter.to_owned(),
            // libpcap's own words, without the crate's name for their kind.
            reason: if let pcap::Error::PcapError(reason) = cause { reason } else { cause.to_string() },
        };
        // In files raw IP is 101 (LINKTYPE_RAW); libpcap's own number for it on Linux is 12 (DLT_RAW).
        let dlt = if link == 101 { 12 } else { i32::try_from(link).unwrap_or(i32::MAX) };
        Capture::dead(Linktype(dlt)).map_err(refused)?.compile(filter, true).map_err(refused)
    }

    pub(super) fn instructions(filter: &str, link: u32) -> Result<Vec<Instruction>, FilterError> {
        compile(filter, link)?
            .get_instructions()
            .iter()
            .map(|instruction| {
                // The fields are private; the crate shows them as "code jt jf k".
                let shown = instruction.to_string();
                read(&shown).ok_or_else(|| FilterError::Compile { filter: filter.to_owned(), reason: shown })
            })
            .collect()
    }

    fn read(shown: &str) -> Option<Instruction> {
        let mut numbers = shown.split(' ').map(str::parse::<u32>);
        let mut number = || numbers.next()?.ok();
        Some(Instruction {
            code: number()?.try_into().ok()?,
            jump_true: number()?.try_into().ok()?,
            jump_false: number()?.try_into().ok()?,
            constant: number()?,
        })
    }
}

#[cfg(not(feature = "pcap"))]
mod compiled {
    //! Without libpcap: every filter is refused.

    use super::{FilterError, Instruction};

    pub(super) enum Program {}

    impl Program {
        pub(super) fn filter(&self, _bytes: &[u8]) -> bool {
            match *self {}
        }
    }

    pub(super) fn compile(filter: &str, _link: u32) -> Result<Program, FilterError> {
        Err(FilterError::NoCompiler { filter: filter.to_owned() })
    }

    pub(super) fn instructions(filter: &str, link: u32) -> Result<Vec<Instruction>, FilterError> {
        compile(filter, link).map(|never| match never {})
    }
}

#[cfg(test)]
#[cfg(feature = "pcap")]
mod tests {
    use super::*;

    #[test]
    fn compiles_for_the_ring() {
        let program = ring_program("ip", 1).unwrap();
        // ldh [12]; jeq #0x800 jt 2 jf 3; ret #snaplen; ret #0
        assert_eq!(
            program.iter().map(|i| (i.code, i.jump_true, i.jump_false)).collect::<Vec<_>>(),
            [(0x28, 0, 0), (0x15, 0, 1), (0x06, 0, 0), (0x06, 0, 0)]
        );
        assert_eq!((program[0].constant, program[1].constant), (12, 0x800));
        assert!(matches!(ring_program("vlan 10 and ip", 1), Err(FilterError::VlanOnRing { .. })));
        assert!(ring_program("tcp prot 80", 1).unwrap_err().to_string().contains("tcp prot 80"));
    }

    #[test]
    fn filters_frames_by_link_type() {
        let mut filter = Filter::new("udp").unwrap();
        let mut ip = [0; 28];
        (ip[0], ip[9]) = (0x45, 17);
        assert_eq!(filter.matches(101, &ip), Ok(true));
        ip[9] = 6;
        assert_eq!(filter.matches(101, &ip), Ok(false));
        assert_eq!(filter.matches(1, &ip), Ok(false));
    }
}

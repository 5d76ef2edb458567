//! How many bytes a summary takes at most when encoded, and what goes first when that is too many.
//!
//! The encoding is protobuf: a tag and a varint of at most ten bytes for a number, a tag and a length of at most three
//! bytes for a text of our sizes. The estimate is an upper bound, so the budget holds whatever the values.

use sekimori_wire::record::{FlowSummary, NamedCount, Summary, Talker};

/// A number with its tag.
const NUMBER: usize = 11;
/// Tag and length of a text or a nested message.
const HEAD: usize = 5;

/// An address of at most sixteen bytes and a port.
const ENDPOINT: usize = HEAD + HEAD + 16 + NUMBER;

/// Leaves out what does not fit, least important first: flows from the end, then domains, then talkers.
pub(super) fn fit(summary: &mut Summary, bytes_max: usize) {
    let fixed = 10 * NUMBER + summary.applications.iter().map(named).sum::<usize>();
    let mut rest = bytes_max.saturating_sub(fixed);
    summary.talkers.truncate(fitting(&summary.talkers, &mut rest, talker));
    // Domains may take half of what is left: flows are what findings are checked with.
    let mut half = rest / 2;
    let given = half;
    let domains = fitting(&summary.domains, &mut half, named);
    summary.domains_omitted += (summary.domains.len() - domains) as u64;
    summary.domains.truncate(domains);
    rest -= given - half;
    summary.flows.truncate(fitting(&summary.flows, &mut rest, flow));
}

/// How many of the first entries fit in `rest`, which is reduced by them.
fn fitting<T>(entries: &[T], rest: &mut usize, size: impl Fn(&T) -> usize) -> usize {
    let mut fit = 0;
    for entry in entries {
        match rest.checked_sub(size(entry)) {
            Some(less) => *rest = less,
            None => break,
        }
        fit += 1;
    }
    fit
}

fn named<const MAX: usize>(one: &NamedCount<MAX>) -> usize {
    HEAD + HEAD + one.name.len() + NUMBER
}

fn talker(one: &Talker) -> usize {
    HEAD + HEAD + one.host.to_string().len() + 3 * NUMBER
}

fn flow(one: &FlowSummary) -> usize {
    let texts = [
        one.state.len(),
        one.application.len(),
        one.server_name.len(),
        one.ja4.len(),
        one.body.map_or(0, |body| body.as_str().len()),
        one.segment.as_ref().map_or(0, |segment| segment.len()),
    ];
    HEAD + 2 * ENDPOINT + texts.iter().map(|len| HEAD + len).sum::<usize>() + 8 * NUMBER
}

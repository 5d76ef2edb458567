//! The same attacking address, domain, JA4, certificate or file hash in several bodies: one wide-area parent over their incidents.

use std::collections::BTreeSet;

use sekimori_wire::finding::Severity;

use crate::incident::IncidentCategory;

/// One incident in which the indicator was seen within the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its name.
    pub incident: String,
    /// Whose.
    pub body: String,
    /// Its parent, if it has one.
    pub parent: Option<String>,
    /// How bad.
    pub severity: Severity,
    /// What kind.
    pub category: IncidentCategory,
}

/// What the sightings amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wide {
    /// The parent that is there already; `None`: open one.
    pub parent: Option<String>,
    /// Incidents that become its children now.
    pub children: Vec<String>,
    /// How bad the parent is at least: one level over its worst child.
    pub severity: Severity,
    /// That of the worst child.
    pub category: IncidentCategory,
    /// In which bodies it was seen.
    pub bodies: BTreeSet<String>,
}

/// A parent if the indicator was seen in at least `bodies_min` distinct bodies, or has a parent already.
pub fn judge(sightings: &[Sighting], bodies_min: usize) -> Option<Wide> {
    let bodies: BTreeSet<String> = sightings.iter().map(|one| one.body.clone()).collect();
    let parent = sightings.iter().find_map(|one| one.parent.clone());
    if parent.is_none() && bodies.len() < bodies_min {
        return None;
    }
    let worst = sightings.iter().max_by_key(|one| one.severity)?;
    let children: Vec<String> =
        sightings.iter().filter(|one| one.parent.is_none()).map(|one| one.incident.clone()).collect();
    Some(Wide { parent, children, severity: worst.severity.raised(), category: worst.category, bodies })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bodies_make_a_parent_and_later_ones_join_it() {
        // Sightings as "body severity parent", then parent, children, severity.
        type Expected = Option<(Option<&'static str>, &'static [usize], u8)>;
        let cases: &[(&[&str], Expected)] = &[
            (&[], None),
            (&["a 1 -", "b 1 -"], None),
            (&["a 1 -", "a 2 -", "b 1 -", "b 3 -"], None),
            (&["a 1 -", "b 2 -", "c 1 -"], Some((None, &[0, 1, 2], 3))),
            (&["a 4 -", "b 2 -", "c 1 -"], Some((None, &[0, 1, 2], 4))),
            (&["a 1 -", "a 1 -", "b 2 -", "c 1 -"], Some((None, &[0, 1, 2, 3], 3))),
            (&["a 1 W", "b 2 W", "c 1 W", "d 3 -"], Some((Some("W"), &[3], 4))),
            (&["a 1 W", "b 1 -"], Some((Some("W"), &[1], 2))),
            (&["a 1 W", "b 1 W", "c 3 W"], Some((Some("W"), &[], 4))),
        ];
        for (sightings, expected) in cases {
            let sightings: Vec<Sighting> = sightings
                .iter()
                .enumerate()
                .map(|(number, text)| {
                    let parts: Vec<&str> = text.split(' ').collect();
                    Sighting {
                        incident: number.to_string(),
                        body: parts[0].into(),
                        parent: Some(parts[2]).filter(|one| *one != "-").map(Into::into),
                        severity: Severity::new(parts[1].parse().unwrap()).unwrap(),
                        category: IncidentCategory::Scan,
                    }
                })
                .collect();
            let wide = judge(&sightings, 3);
            let shown = wide.as_ref().map(|wide| {
                let children: Vec<usize> = wide.children.iter().map(|one| one.parse().unwrap()).collect();
                (wide.parent.as_deref(), children, wide.severity.level())
            });
            let expected = expected.map(|(parent, children, level)| (parent, children.to_vec(), level));
            assert_eq!(shown, expected, "{sightings:?}");
        }
    }
}

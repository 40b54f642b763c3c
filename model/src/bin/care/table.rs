//! The scenarios. Producers are P, consumers C, a supervisor S.

use crate::step::{Care, Flaw, Scenario, Who};
use Who::{Consumer, Producer, Supervisor};

const PCC: &[Who] = &[Producer, Consumer, Consumer];
const PPCC: &[Who] = &[Producer, Producer, Consumer, Consumer];
const PCCC: &[Who] = &[Producer, Consumer, Consumer, Consumer];
const SPCC: &[Who] = &[Producer, Consumer, Consumer, Supervisor];

pub fn scenarios() -> Vec<Scenario> {
    let the_rule = Scenario {
        name: "", who: PCC, deaths: 1, pauses: 0, care: Care::Adopt, asks: true, atomic: true, mortal: 0b0010,
        producers_recover: true, flaw: None, lap: 1, fair: false, trap: false, floor: 1,
    };
    let b = || the_rule.clone();
    vec![
        // What does not do, each with a fair cycle.
        Scenario { name: "no rule: P C C, one C dies", care: Care::Never, asks: false, fair: true, floor: 20_000, ..b() },
        Scenario { name: "no rule, without the passes of waiting producers", care: Care::Never, asks: false, producers_recover: false, fair: true, floor: 11_000, ..b() },
        Scenario { name: "consumers only tell, one of them lives", care: Care::Tell, asks: false, producers_recover: false, floor: 12_000, ..b() },
        Scenario { name: "consumers only tell: they lock each other out", who: PCCC, care: Care::Tell, asks: false, producers_recover: false, fair: true, floor: 1_400_000, ..b() },
        Scenario { name: "consumers adopt, producers lock to see", asks: false, fair: true, floor: 18_000, ..b() },
        // The rule.
        Scenario { name: "the rule: P C C, one C dies", floor: 18_000, ..b() },
        Scenario { name: "the rule: P C C C, one C dies", who: PCCC, floor: 2_400_000, ..b() },
        Scenario { name: "the rule: P C C, after every second success", lap: 2, floor: 40_000, ..b() },
        Scenario { name: "the rule: P C C, one dies, one is paused", pauses: 1, floor: 80_000, ..b() },
        Scenario { name: "the rule: P C C, a look place by place", atomic: false, floor: 19_000, ..b() },
        Scenario { name: "the rule: P P C C, P and C die that traded", who: PPCC, deaths: 2, mortal: 0b0101, floor: 3_700_000, ..b() },
        Scenario { name: "heavy, the rule: P C C C, two C die (an adopter too)", who: PCCC, deaths: 2, mortal: 0b0110, floor: 1_500_000, ..b() },
        Scenario { name: "heavy, the rule: P P C C, all but one C die", who: PPCC, deaths: 2, mortal: 0b0111, floor: 2_000_000, ..b() },
        Scenario { name: "heavy, the rule: P C C C, one dies, one is paused", who: PCCC, pauses: 1, floor: 5_000_000, ..b() },
        Scenario { name: "heavy, the rule: P P C C, two die that traded, one is paused", who: PPCC, deaths: 2, mortal: 0b0101, pauses: 1, floor: 8_000_000, ..b() },
        Scenario { name: "heavy, the rule: P C C C, two C die, a look place by place", atomic: false, who: PCCC, deaths: 2, mortal: 0b0110, floor: 2_000_000, ..b() },
        // A supervisor looks after the dead, the consumers do not.
        Scenario { name: "a supervisor that locks to see", who: SPCC, care: Care::Never, asks: false, producers_recover: false, fair: true, floor: 120_000, ..b() },
        Scenario { name: "a supervisor that asks", who: SPCC, care: Care::Never, producers_recover: false, floor: 115_000, ..b() },
        // Planted faults.
        Scenario { name: "fault: each wait begins the count anew", lap: 2, flaw: Some(Flaw::BurstReset), producers_recover: false, fair: true, floor: 28_000, ..b() },
        Scenario { name: "fault: raised before the unlock", who: SPCC, care: Care::Never, asks: false, producers_recover: false, flaw: Some(Flaw::RaiseFirst), fair: true, floor: 120_000, ..b() },
        Scenario { name: "fault: raised only by who resolves", who: SPCC, care: Care::Never, asks: false, producers_recover: false, flaw: Some(Flaw::RaiseOnce), fair: true, trap: true, floor: 110_000, ..b() },
    ]
}

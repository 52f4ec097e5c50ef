//! Laws of the lifecycle: its rows and routes equal those of the reference.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lcm::model::lifecycle::{Action, ROUTES, ROWS, State};
use lcm::model::names::ServiceName;
use lcm::model::rules::{Case, Legality, Rules};

#[test]
fn legal_changes_are_the_reference_and_three_to_scaling() {
    let reference = include_str!("../data/transitions.csv");
    let mut legal: BTreeSet<(&str, &str)> = reference.lines().skip(1).filter_map(|row| row.split_once(',')).collect();
    assert_eq!(legal.len(), 66, "tests/data/transitions.csv");
    // Without these no service could scale.
    legal.extend([("online", "scaling"), ("busy", "scaling"), ("idle", "scaling")]);
    let coded: BTreeSet<(&str, &str)> = ROWS.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    assert_eq!(coded, legal, "src/model/lifecycle.rs: ROWS");
    assert_eq!(ROWS.len(), legal.len(), "src/model/lifecycle.rs: ROWS holds one twice");
}

/// Of all 18 × 18 pairs, those of the reference are legal: by `may_become`, by `next`, and by empty rules.
#[test]
fn each_pair_is_legal_or_refused_by_the_rows() {
    let reference: BTreeSet<&str> = include_str!("../data/transitions.csv").lines().skip(1).collect();
    let (rules, service) = (Rules::default(), ServiceName::from("any"));
    let case = Case { service: &service, mode: None, at: Timestamp::UNIX_EPOCH };
    let mut pairs = 0;
    for from in State::ALL {
        for to in State::ALL {
            pairs += 1;
            let scales = from.is_operational() && to == State::Scaling;
            let legal = scales || reference.contains(format!("{from},{to}").as_str());
            assert_eq!(from.may_become(to), legal, "{from} to {to}");
            assert_eq!(from.next().any(|next| next == to), legal, "{from} to {to}");
            assert_eq!(rules.next(&case, from).any(|next| next == to), legal, "{from} to {to}");
            let legality = if legal || from == to { Legality::Legal } else { Legality::NoRow };
            assert_eq!(rules.judge(&case, from, to), legality, "{from} to {to}");
        }
    }
    assert_eq!(pairs, 18 * 18);
}

#[test]
fn every_route_is_legal_row_by_row() {
    for (action, route) in ROUTES {
        for pair in route.windows(2) {
            assert!(ROWS.contains(&(pair[0], pair[1])), "{action}: {} to {}", pair[0], pair[1]);
        }
    }
}

#[test]
fn every_state_has_a_text_of_its_own() {
    let texts: BTreeSet<&str> = State::ALL.iter().map(|state| state.meaning()).collect();
    assert_eq!(texts.len(), State::ALL.len());
    for text in texts {
        let sentence = text.ends_with('.') && text.starts_with(char::is_uppercase) && text.len() <= 80;
        assert!(sentence, "not one short sentence: {text}");
    }
}

#[test]
fn routes_are_the_reference_or_the_rest_of_one_under_way() {
    let reference = include_str!("../data/routes.csv");
    let named: BTreeSet<(&str, Vec<&str>)> = reference
        .lines()
        .skip(1)
        .filter_map(|row| row.split_once(','))
        .map(|(action, states)| (action, states.split(' ').collect()))
        .collect();
    let coded: BTreeSet<(&str, Vec<&str>)> = ROUTES
        .iter()
        .map(|(action, states)| (action.as_str(), states.iter().map(|state| state.as_str()).collect()))
        .collect();
    for route in &named {
        assert!(coded.contains(route), "src/model/lifecycle.rs: ROUTES lacks {route:?}");
    }
    for (action, states) in coded.difference(&named) {
        let under_way = named.iter().any(|(of, whole)| of == action && whole.ends_with(states));
        let stays = [Action::Evict, Action::Wake].map(Action::as_str).contains(action) && states.len() == 1;
        assert!(under_way || stays, "src/model/lifecycle.rs: ROUTES has {action} {states:?}, the reference not");
    }
    let starts: BTreeSet<(Action, State)> = ROUTES.iter().map(|(action, states)| (*action, states[0])).collect();
    assert_eq!(starts.len(), ROUTES.len(), "src/model/lifecycle.rs: two routes for one action from one state");
}

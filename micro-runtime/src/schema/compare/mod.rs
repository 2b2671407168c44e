//! What differs between two schemas, by protobuf's rules.

mod difference;
mod types;

pub use difference::{Change, Difference, Direction, Severity, Side};

use std::collections::BTreeSet;

use super::model::{Enum, Field, Message, Schema, Type};

/// How many differences are told at most; of each method one more that breaks it.
const MAX_DIFFERENCES: usize = 256;
/// How many fields and values are looked at: types that name each other could be paired without end.
const MAX_STEPS: usize = 200_000;

/// What differs in `of` between our schema and theirs, and what comes of it: `of` is a service by its
/// full name (`greeter.Say`) or one of its methods (`greeter.Say/Hello`). We call and they answer:
/// they read requests that we have written, we read replies that they have written.
///
/// The worst comes first. Of a service, methods and services that only they have are no difference,
/// since we do not call them. Two schemas that are too large to be compared to the end differ by
/// [`Change::TooLarge`].
pub fn compare(ours: &Schema, theirs: &Schema, of: &str) -> Vec<Difference> {
    let of = of.strip_prefix('/').unwrap_or(of);
    let (service, method) = match of.split_once('/') {
        None => (of, None),
        Some((service, method)) => (service, Some(method)),
    };
    let mut comparison = Comparison {
        ours,
        theirs,
        steps: 0,
        broken: false,
        found: Vec::new(),
    };
    let (mine, other) = (ours.services.get(service), theirs.services.get(service));
    let (Some(mine), Some(other)) = (mine, other) else {
        let side = if mine.is_none() {
            Side::Here
        } else {
            Side::There
        };
        let all = mine.into_iter().flat_map(|service| service.methods.keys());
        let concerned = all.filter(|name| method.is_none_or(|method| method == **name));
        comparison.found.push(Difference {
            methods: concerned.cloned().collect(),
            direction: Direction::Request,
            here: service.to_owned(),
            there: service.to_owned(),
            change: Change::NoService(side),
            severity: Severity::Breaks,
        });
        return comparison.found;
    };
    let chosen = |name: &String| method.is_none_or(|method| method == name);
    for (name, rpc) in mine.methods.iter().filter(|(name, _)| chosen(name)) {
        comparison.broken = false;
        let mut whole = |change| {
            comparison.add(Place::whole(service, name), change, Severity::Breaks);
        };
        let Some(others) = other.methods.get(name) else {
            whole(Change::NoMethod(Side::There));
            continue;
        };
        if rpc.kind != others.kind {
            whole(Change::Kind {
                here: rpc.kind,
                there: others.kind,
            });
        }
        comparison.messages(name, Direction::Request, (&rpc.request, &others.request));
        comparison.messages(name, Direction::Reply, (&rpc.reply, &others.reply));
    }
    if let Some(method) = method.filter(|method| !mine.methods.contains_key(*method)) {
        let place = Place::whole(service, method);
        comparison.add(place, Change::NoMethod(Side::Here), Severity::Breaks);
    }
    let mut found = comparison.found;
    found.sort_by_key(|difference| std::cmp::Reverse(difference.severity));
    found
}

struct Comparison<'a> {
    ours: &'a Schema,
    theirs: &'a Schema,
    steps: usize,
    /// Whether something was found that breaks the present method.
    broken: bool,
    found: Vec<Difference>,
}

/// Where something differs.
#[derive(Clone, Copy)]
struct Place<'a> {
    method: &'a str,
    direction: Direction,
    /// The full name of the message, enum or service, in each schema.
    here: &'a str,
    there: &'a str,
}

impl<'a> Place<'a> {
    /// A method as a whole.
    fn whole(service: &'a str, method: &'a str) -> Self {
        Self {
            method,
            direction: Direction::Request,
            here: service,
            there: service,
        }
    }

    /// Of what is here and there, what is written and what it is read as.
    fn roles<T>(self, here: T, there: T) -> (T, T) {
        match self.direction {
            Direction::Request => (here, there),
            Direction::Reply => (there, here),
        }
    }

    /// Where those are who read.
    fn reader(self) -> Side {
        self.roles(Side::Here, Side::There).1
    }
}

impl<'a> Comparison<'a> {
    /// Compares two messages with all that they are made of.
    fn messages(&mut self, method: &'a str, direction: Direction, roots: (&'a str, &'a str)) {
        let mut seen = BTreeSet::from([roots]);
        let mut next = vec![roots];
        while let Some((here, there)) = next.pop() {
            let place = Place {
                method,
                direction,
                here,
                there,
            };
            let (ours, theirs) = (
                self.ours.messages.get(here),
                self.theirs.messages.get(there),
            );
            // A schema with a hash lacks none.
            let (Some(ours), Some(theirs)) = (ours, theirs) else {
                continue;
            };
            self.steps += 1 + ours.fields.len() + theirs.fields.len();
            if self.steps > MAX_STEPS {
                self.add(place, Change::TooLarge, Severity::Risks);
                return;
            }
            for (number, field) in &ours.fields {
                match theirs.fields.get(number) {
                    Some(other) => {
                        let pair = self.field(place, *number, (ours, field), (theirs, other));
                        next.extend(pair.filter(|pair| seen.insert(*pair)));
                    }
                    None => self.lone(place, *number, field, theirs, Side::There),
                }
            }
            for (number, field) in &theirs.fields {
                // One that has another number here has been told.
                if !ours.fields.contains_key(number) && ours.number_of(&field.name).is_none() {
                    self.lone(place, *number, field, ours, Side::Here);
                }
            }
        }
    }

    /// A field that `lacking`, on the side `without`, has not under this number.
    fn lone(
        &mut self,
        place: Place<'_>,
        number: i32,
        field: &Field,
        lacking: &Message,
        without: Side,
    ) {
        if let Some(other) = lacking.number_of(&field.name) {
            let change = Change::Number {
                name: field.name.clone(),
                here: number,
                there: other,
            };
            return self.add(place, change, Severity::Breaks);
        }
        let severity = match without == place.reader() {
            true => Severity::Loses,
            false if field.label == super::model::Label::Required => Severity::Breaks,
            false => Severity::Harmless,
        };
        let change = Change::NoField {
            number,
            name: field.name.clone(),
            side: without,
        };
        self.add(place, change, severity);
    }

    /// Compares two fields of one number, and gives the messages that they are of.
    fn field(
        &mut self,
        place: Place<'a>,
        number: i32,
        (ours, field): (&'a Message, &'a Field),
        (theirs, other): (&'a Message, &'a Field),
    ) -> Option<(&'a str, &'a str)> {
        if field.name != other.name {
            let elsewhere = theirs.number_of(&field.name);
            if let Some(there) = elsewhere {
                let change = Change::Number {
                    name: field.name.clone(),
                    here: number,
                    there,
                };
                self.add(place, change, Severity::Breaks);
            } else {
                let change = Change::Name {
                    number,
                    here: field.name.clone(),
                    there: other.name.clone(),
                };
                self.add(place, change, Severity::Text);
            }
        } else if field.json != other.json {
            let change = Change::JsonName {
                number,
                here: field.json.clone(),
                there: other.json.clone(),
            };
            self.add(place, change, Severity::Text);
        }
        let (written, read) = place.roles(field, other);
        let (writer, reader) = place.roles(ours, theirs);
        let conflict = shares_oneof((number, written, writer), (read, reader));
        let moved = conflict || field.oneof.is_some() != other.oneof.is_some();
        if moved {
            let change = Change::Oneof {
                number,
                name: field.name.clone(),
                here: field.oneof.clone(),
                there: other.oneof.clone(),
            };
            let severity = match conflict {
                true => Severity::Loses,
                false => Severity::Harmless,
            };
            self.add(place, change, severity);
        }
        let label = types::labels(written.label, read.label);
        // Whoever is in a oneof is optional: that nothing comes of it has been told.
        if let Some(severity) = label.filter(|severity| !(moved && *severity == Severity::Harmless))
        {
            let change = Change::Label {
                number,
                name: field.name.clone(),
                here: field.label.name(),
                there: other.label.name(),
            };
            self.add(place, change, severity);
        }
        let enums = |ty: &Type, schema: &'a Schema| match ty {
            Type::Enum(name) => schema.enums.get(name),
            _ => None,
        };
        let here = enums(&field.ty, self.ours);
        let there = enums(&other.ty, self.theirs);
        match (&field.ty, &other.ty) {
            (Type::Message(here), Type::Message(there))
            | (Type::Group(here), Type::Group(there)) => {
                return Some((here, there));
            }
            (Type::Enum(name), Type::Enum(other)) => {
                if let (Some(here), Some(there)) = (here, there) {
                    let place = Place {
                        here: name,
                        there: other,
                        ..place
                    };
                    self.enums(place, here, there);
                }
            }
            _ => {
                let (from, to) = place.roles((&field.ty, here), (&other.ty, there));
                if let Some(severity) = types::types(from, to) {
                    let change = Change::Type {
                        number,
                        name: field.name.clone(),
                        here: types::name(&field.ty),
                        there: types::name(&other.ty),
                    };
                    self.add(place, change, severity);
                }
            }
        }
        None
    }

    fn enums(&mut self, place: Place<'_>, ours: &Enum, theirs: &Enum) {
        let (_, reader) = place.roles(ours, theirs);
        if ours.closed != theirs.closed {
            let severity = match reader.closed {
                true => Severity::Loses,
                false => Severity::Harmless,
            };
            let change = Change::Closed {
                here: ours.closed,
                there: theirs.closed,
            };
            self.add(place, change, severity);
        }
        self.steps += ours.values.len() + theirs.values.len();
        if self.steps > MAX_STEPS {
            self.add(place, Change::TooLarge, Severity::Risks);
            return;
        }
        for (number, names) in &ours.values {
            let Some(others) = theirs.values.get(number) else {
                self.value(place, *number, names, (theirs, Side::There), reader);
                continue;
            };
            if names.is_disjoint(others) {
                let first = |names: &BTreeSet<String>| names.first().cloned().unwrap_or_default();
                let moved = names
                    .iter()
                    .find_map(|name| Some((name, theirs.number_of(name)?)));
                let (change, severity) = match moved {
                    Some((name, there)) => (
                        Change::ValueNumber {
                            name: name.clone(),
                            here: *number,
                            there,
                        },
                        Severity::Breaks,
                    ),
                    None => (
                        Change::ValueName {
                            number: *number,
                            here: first(names),
                            there: first(others),
                        },
                        Severity::Text,
                    ),
                };
                self.add(place, change, severity);
            }
        }
        for (number, names) in &theirs.values {
            let told = names.iter().any(|name| ours.number_of(name).is_some());
            if !ours.values.contains_key(number) && !told {
                self.value(place, *number, names, (ours, Side::Here), reader);
            }
        }
    }

    /// A value that `lacking`, on the side `without`, has not under this number.
    fn value(
        &mut self,
        place: Place<'_>,
        number: i32,
        names: &BTreeSet<String>,
        (lacking, without): (&Enum, Side),
        reader: &Enum,
    ) {
        let moved = names
            .iter()
            .find_map(|name| Some((name, lacking.number_of(name)?)));
        if let Some((name, there)) = moved {
            let change = Change::ValueNumber {
                name: name.clone(),
                here: number,
                there,
            };
            return self.add(place, change, Severity::Breaks);
        }
        let severity = match without == place.reader() && reader.closed {
            true => Severity::Loses,
            false => Severity::Harmless,
        };
        let change = Change::NoValue {
            number,
            name: names.first().cloned().unwrap_or_default(),
            side: without,
        };
        self.add(place, change, severity);
    }

    fn add(&mut self, place: Place<'_>, change: Change, severity: Severity) {
        if self.found.len() >= MAX_DIFFERENCES && (severity < Severity::Breaks || self.broken) {
            return;
        }
        self.broken |= severity == Severity::Breaks;
        let same = |known: &&mut Difference| {
            known.direction == place.direction
                && known.change == change
                && known.here == place.here
                && known.there == place.there
        };
        if let Some(known) = self.found.iter_mut().find(same) {
            if !known.methods.iter().any(|method| method == place.method) {
                known.methods.push(place.method.to_owned());
            }
            return;
        }
        self.found.push(Difference {
            methods: vec![place.method.to_owned()],
            direction: place.direction,
            here: place.here.to_owned(),
            there: place.there.to_owned(),
            change,
            severity,
        });
    }
}

/// Whether the writer may send this field beside another one that for the reader is in the same oneof.
fn shares_oneof(
    (number, written, writer): (i32, &Field, &Message),
    (read, reader): (&Field, &Message),
) -> bool {
    let Some(oneof) = &read.oneof else {
        return false;
    };
    let mut others = reader
        .fields
        .iter()
        .filter(|(other, field)| **other != number && field.oneof.as_ref() == Some(oneof));
    others.any(|(other, _)| {
        writer
            .fields
            .get(other)
            .is_some_and(|other| written.oneof.is_none() || other.oneof != written.oneof)
    })
}

//! The kitchen: its handlers and the calls of its client, those of the Go peer.

use micro_runtime::codec::{JsonCodec, Types};
use micro_runtime::{Context, Error, Result};

use super::args::Call;
use super::client::{Caller, Failure};
use super::server::wrong;
use crate::proto::kitchen::{
    CheckRequest, CheckResponse, Dish, Kitchen as Handlers, KitchenClient, MakeRequest, dish,
};
use crate::recipes;

/// Serves `proto/kitchen.proto`.
pub(super) struct Kitchen;

impl Handlers for Kitchen {
    async fn echo(&self, _cx: &Context, dish: Dish) -> Result<Dish> {
        Ok(dish)
    }

    async fn make(&self, _cx: &Context, request: MakeRequest) -> Result<Dish> {
        recipes::make(&request.recipe).ok_or_else(|| unknown("kitchen.make", &request.recipe))
    }

    async fn check(&self, _cx: &Context, request: CheckRequest) -> Result<CheckResponse> {
        let dish = recipes::make(&request.recipe)
            .ok_or_else(|| unknown("kitchen.check", &request.recipe))?;
        let difference = recipes::difference(&dish, &request.dish.unwrap_or_default());
        Ok(CheckResponse {
            equal: difference.is_none(),
            difference: difference.unwrap_or_default(),
        })
    }
}

/// `application/json` that unfolds the dishes' messages from an `Any`, as Go does.
pub(super) fn json() -> JsonCodec {
    JsonCodec::original_names("application/json").with_types(types())
}

/// The same for gRPC.
pub(super) fn grpc_json() -> JsonCodec {
    JsonCodec::canonical("application/grpc+json").with_types(types())
}

fn types() -> Types {
    Types::new().with::<Dish>().with::<dish::Inner>()
}

fn unknown(id: &'static str, recipe: &str) -> Error {
    Error::not_found(id, format!("no recipe {recipe:?}"))
}

/// Makes the calls with each recipe and gives how many failed, of how many.
pub(super) async fn run(caller: &Caller) -> Result<(u64, u64)> {
    let args = &*caller.args;
    let recipes = match &*args.recipe {
        "all" => recipes::names(),
        "fields" => recipes::field_names(),
        some => some.split(',').map(str::to_owned).collect(),
    };
    let call = match args.call.unwrap_or(Call::Echo) {
        Call::List => {
            println!("{}", recipes.join("\n"));
            return Ok((0, 0));
        }
        call @ (Call::Echo | Call::Make | Call::Check) => call,
        _ => return Err(wrong("the kitchen's calls are echo, make, check and list")),
    };
    let calls = args.calls().saturating_mul(recipes.len() as u64);
    let mut failed = 0;
    for recipe in recipes {
        let label = recipe.clone();
        let one = move |caller: Caller| one(caller, call, recipe.clone());
        failed += caller.load(&label, one).await;
    }
    Ok((failed, calls))
}

async fn one(caller: Caller, call: Call, recipe: String) -> Result<(), Failure> {
    let kitchen = KitchenClient::new(caller.args.name().to_owned(), &caller.client);
    let dish = recipes::make(&recipe).ok_or_else(|| unknown("micro.interop", &recipe));
    let parsed = |error: Error| {
        caller.say(format_args!("PARSED {}", error.to_json()));
        error
    };
    let difference = match call {
        Call::Echo => {
            let dish = dish?;
            let back = caller.with(kitchen.echo(dish.clone())).await;
            recipes::difference(&dish, &back.map_err(parsed)?)
        }
        // Without a dish of ours: the server's answer to an unknown recipe is of interest.
        Call::Make => {
            let request = MakeRequest {
                recipe: recipe.clone(),
            };
            let made = caller.with(kitchen.make(request)).await.map_err(parsed)?;
            recipes::difference(&dish?, &made)
        }
        _ => {
            let request = CheckRequest {
                recipe: recipe.clone(),
                dish: Some(dish?),
            };
            let reply = caller.with(kitchen.check(request)).await.map_err(parsed)?;
            if reply.equal != reply.difference.is_empty() {
                let words = format!(
                    "the reply says equal={} and difference={:?}",
                    reply.equal, reply.difference
                );
                return Err(Error::internal("micro.interop", words).into());
            }
            Some(reply.difference).filter(|difference| !difference.is_empty())
        }
    };
    match difference {
        Some(difference) => Err(Failure::Difference(difference)),
        None => {
            caller.say(format_args!("OK equal {recipe}"));
            Ok(())
        }
    }
}

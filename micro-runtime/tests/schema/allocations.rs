//! What checks cost a warm call: nothing that is allocated.

use allocation_counter::measure;
use micro_runtime::call::Frame;
use micro_runtime::client::Target;
use micro_runtime::method::Method;
use tokio::runtime::Builder;

use crate::support::World;
use crate::versions::{Caller, V1, nodes, v2, v3};

const CALLS: usize = 2_000;

#[test]
fn a_checked_call_allocates_no_more_than_another() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let world = World::default();
    let _nodes = runtime.block_on(nodes(&world, &[V1, &v2(), &v3()]));
    let caller = Caller::new(&world);
    let plain = caller.service.client().target("greeter");
    let run = |target: &Target, method: &'static Method| {
        let calls = async {
            for _ in 0..CALLS {
                let reply: micro_runtime::Result<Frame> =
                    target.unary(method, Frame::default()).await;
                reply.unwrap();
            }
        };
        measure(|| runtime.block_on(calls)).count_total
    };
    // Once to make the connections, to know the nodes and to work out what follows.
    for target in [&plain, &caller.target] {
        run(target, caller.a);
        run(target, caller.b);
    }
    let (unchecked, mixed, clean) = (
        run(&plain, caller.a),
        run(&caller.target, caller.a),
        run(&caller.target, caller.b),
    );
    // Timers and blocks of connections come now and then, and on a busy machine handlers that seem to
    // compute for long have tasks of their own; one allocation a call would be four times that.
    let slack = CALLS as u64 / 4;
    assert!(mixed <= unchecked + slack, "{mixed} {unchecked}");
    assert!(clean <= unchecked + slack, "{clean} {unchecked}");
}

// Package harness runs closed-loop load and prints rate, latencies and CPU time as one line of JSON.
package harness

import (
	"flag"
	"fmt"
	"io"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	Addr     = flag.String("addr", "127.0.0.1:9000", "server: listen address; client: address to call")
	Workload = flag.String("wl", "unary", "client: unary | ss (server stream) | bidi")
	Count    = flag.Int("count", 100000, "client: messages of one server stream")
	Size     = flag.Int("size", 100, "client: payload bytes of a message")
	Conns    = flag.Int("conns", 1, "client: connections")

	workers = flag.Int("c", 1, "client: workers; each has one call or stream in flight")

	warm = flag.Int("warm", 500, "client: milliseconds before the measurement")
	dur  = flag.Int("dur", 2000, "client: milliseconds of the measurement")
	spid = flag.Int("spid", 0, "client: process id of the server, to count its CPU time")
)

// phase: 0 warming up, 1 measuring, 2 over.
var phase int32

// Rec holds what one worker has measured: a histogram of latencies with 64 steps for each doubling.
type Rec struct {
	b      [64 * 60]uint64
	n, max uint64
	ops    uint64
}

func idx(v uint64) int {
	if v < 64 {
		return int(v)
	}
	e := uint64(63 - bits.LeadingZeros64(v))
	return int((e-5)*64 + ((v >> (e - 6)) & 63))
}
func val(i int) uint64 {
	if i < 64 {
		return uint64(i)
	}
	e := uint64(i/64) + 5
	return (64 + uint64(i%64)) << (e - 6)
}

// Stop says whether the measurement is over.
func (r *Rec) Stop() bool { return atomic.LoadInt32(&phase) == 2 }

// Lat counts one operation that began at t.
func (r *Rec) Lat(t time.Time) {
	if atomic.LoadInt32(&phase) == 1 {
		v := uint64(time.Since(t))
		r.b[idx(v)]++
		r.n++
		r.ops++
		if v > r.max {
			r.max = v
		}
	}
}

// Add counts n operations that have no latency of their own.
func (r *Rec) Add(n uint64) {
	if atomic.LoadInt32(&phase) == 1 {
		r.ops += n
	}
}
func (r *Rec) q(q float64) float64 {
	t := uint64(float64(r.n) * q)
	var s uint64
	for i, c := range r.b {
		s += c
		if s >= t && s > 0 {
			return float64(val(i)) / 1e3
		}
	}
	return 0
}
func selfCPU() (float64, float64) {
	var u syscall.Rusage
	syscall.Getrusage(0, &u)
	f := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)*1e-6 }
	return f(u.Utime), f(u.Stime)
}
func pidCPU() (float64, float64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", *spid))
	if err != nil {
		return 0, 0
	}
	s := string(b)
	f := strings.Fields(s[strings.LastIndex(s, ")")+1:])
	u, _ := strconv.ParseFloat(f[11], 64)
	y, _ := strconv.ParseFloat(f[12], 64)
	return u / 100, y / 100
}

// Run runs the workers, prints the result to out and ends the process. A worker must loop until rec.Stop().
func Run(out io.Writer, worker func(i int, r *Rec)) {
	recs := make([]*Rec, *workers)
	var wg sync.WaitGroup
	for i := range recs {
		recs[i] = &Rec{}
		wg.Add(1)
		go func(i int) { defer wg.Done(); worker(i, recs[i]) }(i)
	}
	time.Sleep(time.Duration(*warm) * time.Millisecond)
	cu0, cs0 := selfCPU()
	su0, ss0 := pidCPU()
	t0 := time.Now()
	atomic.StoreInt32(&phase, 1)
	time.Sleep(time.Duration(*dur) * time.Millisecond)
	atomic.StoreInt32(&phase, 2)
	el := time.Since(t0).Seconds()
	cu1, cs1 := selfCPU()
	su1, ss1 := pidCPU()
	done := make(chan bool)
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
	}
	var a Rec
	for _, r := range recs {
		for i := range r.b {
			a.b[i] += r.b[i]
		}
		a.n += r.n
		a.ops += r.ops
		if r.max > a.max {
			a.max = r.max
		}
	}
	ops := float64(a.ops)
	if ops == 0 {
		ops = 1
	}
	fmt.Fprintf(out, "{\"wl\":\"%s\",\"ops\":%d,\"secs\":%.4f,\"rps\":%.1f,\"p50_us\":%.2f,\"p99_us\":%.2f,\"max_us\":%.1f,\"cli_user\":%.3f,\"cli_sys\":%.3f,\"srv_user\":%.3f,\"srv_sys\":%.3f,\"cpu_s_per_m\":%.3f}\n",
		*Workload, a.ops, el, float64(a.ops)/el, a.q(0.5), a.q(0.99), float64(a.max)/1e3,
		cu1-cu0, cs1-cs0, su1-su0, ss1-ss0, (cu1-cu0+cs1-cs0+su1-su0+ss1-ss0)/ops*1e6)
	os.Exit(0)
}

// Check panics on an error, unless the measurement is over.
func Check(err error) {
	if err != nil && atomic.LoadInt32(&phase) != 2 {
		panic(err)
	}
}

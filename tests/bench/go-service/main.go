// SPDX-License-Identifier: Apache-2.0

// A service of client_golang, built from Debian's packages: families of several sizes, one in six a histogram, served
// over TCP, TLS and a unix socket at once; under /small there are few. Prints a line of JSON with where it listens;
// then one for each line of its standard input, with how many connections each kind of listener has accepted, how
// many TLS sessions were resumed, and how many requests there were.
//
//	go-service -series 28000 -ports 20 -cert FILE -key FILE -unix PATH
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const seriesOfHistogram = 14

var (
	words   = []string{"http", "request", "queue", "cache", "bidder", "session", "worker", "kafka", "consumer", "banner", "budget", "timer"}
	methods = []string{"GET", "POST", "PUT", "DELETE"}
	names   = []string{"method", "handler", "zone", "pool"}
	buckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

func labels(i int) []string {
	return []string{methods[i%4], fmt.Sprintf("/api/v%d/%s/%d", i%3, words[i%12], i*7919%1000),
		fmt.Sprintf("eu-west-%d", i%3), fmt.Sprintf("%s-%d", words[i/12%12], i)}
}

// family adds a family of n series, or as many as whole histograms have, and returns their number.
func family(registry *prometheus.Registry, index, n int) int {
	name := fmt.Sprintf("%s_%s_%d", words[index%12], words[index*5/12%12], index)
	help := "What " + name + " has seen since the start of the process."
	switch index % 6 {
	case 0, 3:
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name + "_events_total", Help: help}, names)
		registry.MustRegister(vec)
		for i := 0; i < n; i++ {
			vec.WithLabelValues(labels(i)...).Add(float64(i*104729%1000003) / 8)
		}
		return n
	case 5:
		vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name + "_duration_seconds", Help: help, Buckets: buckets}, names)
		registry.MustRegister(vec)
		for i := 0; i < n/seriesOfHistogram; i++ {
			for j := 0; j < 50; j++ {
				vec.WithLabelValues(labels(i)...).Observe(float64(i*j%97) / 20)
			}
		}
		return n / seriesOfHistogram * seriesOfHistogram
	default:
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name + "_bytes", Help: help}, names)
		registry.MustRegister(vec)
		for i := 0; i < n; i++ {
			vec.WithLabelValues(labels(i)...).Set(float64(i * 104729 % 1000003))
		}
		return n
	}
}

// handler serves about this many series.
func handler(series, families int) http.Handler {
	registry, owed := prometheus.NewRegistry(), 0.0
	for i := 0; i < families; i++ {
		owed += float64(series*(i%5+1)) / float64(3*families)
		owed -= float64(family(registry, i, int(owed)))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// counted is a listener that counts what it accepts.
type counted struct {
	net.Listener
	accepted *int64
}

func (l counted) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err == nil {
		atomic.AddInt64(l.accepted, 1)
	}
	return connection, err
}

func listen(network, address string, accepted *int64) net.Listener {
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	return counted{listener, accepted}
}

func main() {
	series := flag.Int("series", 28000, "series under /metrics")
	ports := flag.Int("ports", 1, "TCP ports to listen on")
	cert := flag.String("cert", "", "PEM file with the certificate; without it there is no TLS")
	key := flag.String("key", "", "PEM file with its key")
	path := flag.String("unix", "", "unix socket to listen on")
	flag.Parse()

	mux := http.NewServeMux()
	mux.Handle("/metrics", handler(*series, (*series+64)/65))
	mux.Handle("/small", handler(200, 20))
	var overTCP, overTLS, overUnix, resumed, requests int64
	config := &tls.Config{VerifyConnection: func(state tls.ConnectionState) error {
		if state.DidResume {
			atomic.AddInt64(&resumed, 1)
		}
		return nil
	}}
	server := &http.Server{TLSConfig: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		atomic.AddInt64(&requests, 1)
		mux.ServeHTTP(w, r)
	})}
	where := map[string]any{}
	var tcp []int
	for i := 0; i < *ports; i++ {
		listener := listen("tcp", "127.0.0.1:0", &overTCP)
		tcp = append(tcp, listener.Addr().(*net.TCPAddr).Port)
		go server.Serve(listener)
	}
	where["tcp"] = tcp
	if *cert != "" {
		listener := listen("tcp", "127.0.0.1:0", &overTLS)
		where["tls"] = listener.Addr().(*net.TCPAddr).Port
		go server.ServeTLS(listener, *cert, *key)
	}
	if *path != "" {
		listener := listen("unix", *path, &overUnix)
		where["unix"] = *path
		go server.Serve(listener)
	}
	out := json.NewEncoder(os.Stdout)
	out.Encode(where)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		out.Encode(map[string]int64{"tcp": atomic.LoadInt64(&overTCP), "tls": atomic.LoadInt64(&overTLS),
			"unix": atomic.LoadInt64(&overUnix), "resumed": atomic.LoadInt64(&resumed),
			"requests": atomic.LoadInt64(&requests)})
	}
}

// SPDX-License-Identifier: Apache-2.0

// A straightforward filter in Go, built from Debian's packages, for comparison with scrapeshard: it fetches the body,
// parses it, hashes each family's name and writes those of one shard. Prints its port. URL is http, https (not
// verified) or unix:/SOCKET:/PATH.
//
//	go-filter URL
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/cespare/xxhash"
	"github.com/prometheus/common/expfmt"
)

var suffixes = []string{"_bucket", "_sum", "_count", "_total", "_created", "_info", "_gsum", "_gcount"}

// family is a name without its conventional suffixes.
func family(name string) string {
	for again := true; again; {
		again = false
		for _, suffix := range suffixes {
			if len(name) > len(suffix) && strings.HasSuffix(name, suffix) {
				name, again = strings.TrimSuffix(name, suffix), true
			}
		}
	}
	return name
}

// transport takes connections from where the URL says, and returns the URL to request.
func transport(url string) (*http.Transport, string) {
	t := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	if !strings.HasPrefix(url, "unix:") {
		return t, url
	}
	socket, path, _ := strings.Cut(strings.TrimPrefix(url, "unix:"), ":")
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return t, "http://localhost" + path
}

func filter(client *http.Client, w http.ResponseWriter, r *http.Request, upstream string) error {
	shard, _ := strconv.ParseUint(r.FormValue("shard"), 10, 32)
	count, err := strconv.ParseUint(r.FormValue("shard_count"), 10, 32)
	if err != nil || count == 0 {
		count = 1
	}
	request, err := http.NewRequest("GET", upstream, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept-Encoding", "identity")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return err
	}
	kept := make([]string, 0, len(families))
	for name := range families {
		if xxhash.Sum64String(family(name))&0xffffffff%count == shard {
			kept = append(kept, name)
		}
	}
	sort.Strings(kept)
	w.Header().Set("Content-Type", string(expfmt.FmtText))
	encoder := expfmt.NewEncoder(w, expfmt.FmtText)
	for _, name := range kept {
		if err := encoder.Encode(families[name]); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go-filter URL")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	t, upstream := transport(os.Args[1])
	client := &http.Client{Transport: t}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := filter(client, w, r, upstream); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})))
}

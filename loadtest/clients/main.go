// Command clients sends readings through client libraries that fleets have,
// as their users would, and prints what the library said. It is for tests of
// the real program.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/InfluxCommunity/influxdb3-go/v2/influxdb3"
	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api/write"
)

// report is what the library told its user.
type report struct {
	Errors []string `json:"errors"`
}

func main() {
	client := flag.String("client", "", "influxdb-client-go or influxdb3-go")
	url := flag.String("url", "", "where to write")
	events := flag.Int("events", 100_000, "how many readings")
	base := flag.Int64("base", 0, "first timestamp in milliseconds")
	badEvery := flag.Int("bad-every", 0, "each so manyth reading has no device; 0 for none")
	flag.Parse()
	var r report
	var err error
	switch *client {
	case "influxdb-client-go":
		err = second(*url, *events, *base, *badEvery, &r)
	case "influxdb3-go":
		err = third(*url, *events, *base, *badEvery, &r)
	default:
		err = fmt.Errorf("unknown client %q", *client)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// reading returns the ith reading: tags, values and time. 100 devices take
// turns.
func reading(client string, i int, base int64, badEvery int) (map[string]string, map[string]any, time.Time) {
	tags := map[string]string{"device": fmt.Sprintf("d%02d", i%100), "client": client}
	if badEvery > 0 && i%badEvery == 0 {
		delete(tags, "device")
	}
	values := map[string]any{"n": int64(i), "f": float64(i) / 4, "ok": i%2 == 0}
	return tags, values, time.UnixMilli(base + int64(i/100))
}

func second(url string, events int, base int64, badEvery int, r *report) error {
	c := influxdb2.NewClientWithOptions(url, "token", influxdb2.DefaultOptions().SetUseGZip(true).SetBatchSize(5000).
		SetRetryInterval(200).SetMaxRetryInterval(1000))
	w := c.WriteAPI("org", "bucket")
	failed := make(chan struct{})
	errs := w.Errors()
	go func() {
		defer close(failed)
		for err := range errs {
			r.Errors = append(r.Errors, err.Error())
		}
	}()
	for i := range events {
		tags, values, at := reading("influxdb-client-go", i, base, badEvery)
		w.WritePoint(write.NewPoint("env", tags, values, at))
	}
	w.Flush()
	c.Close() // closes errs
	<-failed
	return nil
}

func third(url string, events int, base int64, badEvery int, r *report) error {
	c, err := influxdb3.New(influxdb3.ClientConfig{Host: url, Token: "token", Database: "db"})
	if err != nil {
		return err
	}
	defer c.Close()
	for from := 0; from < events; from += 5000 {
		var points []*influxdb3.Point
		for i := from; i < min(from+5000, events); i++ {
			tags, values, at := reading("influxdb3-go", i, base, badEvery)
			points = append(points, influxdb3.NewPoint("env", tags, values, at))
		}
		if err := c.WritePoints(context.Background(), points); err != nil {
			r.Errors = append(r.Errors, err.Error())
		}
	}
	return nil
}

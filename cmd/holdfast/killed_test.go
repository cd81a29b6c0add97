package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/server"
)

// A killable is a holdfast cloud in a process of its own.
type killable struct {
	t          *testing.T
	dir        string
	cmd        *exec.Cmd
	api, token string
}

func (k *killable) start() {
	k.t.Helper()
	k.cmd = exec.Command("holdfast", "cloud", "--json", "--data", k.dir, "--api", "127.0.0.1:0", "--gateways", "127.0.0.1:0")
	out, err := k.cmd.StdoutPipe()
	if err == nil {
		err = k.cmd.Start()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var hello struct{ API, Token string }
	if err != nil || json.Unmarshal(line, &hello) != nil {
		k.kill()
		k.t.Fatalf("the cloud did not start: %v %q", err, line)
	}
	k.api = hello.API
	if hello.Token != "" {
		k.token = hello.Token
	}
}

func (k *killable) kill() {
	k.cmd.Process.Kill() // it may be dead already
	k.cmd.Wait()         // killed, so the error is known
}

// post sends a request with a key; an error means that nobody knows whether it
// was done.
func (k *killable) post(path, key, body string) (status int, answer []byte, again bool, err error) {
	req, err := http.NewRequest(http.MethodPost, k.api+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, false, err
	}
	req.Header = http.Header{"Authorization": {"Bearer " + k.token}, "Content-Type": {"application/json"}, "Idempotency-Key": {key}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, false, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, resp.Header.Get("Idempotency-Replayed") != "", err
}

// heartbeat is a command to a charger that is there once, however often it is asked
// for.
const heartbeat = `{"charger":"CP-1","message":"Heartbeat"}`

// A cloud that is killed while commands come in has done each of them or not;
// asked again with the same keys it has done each once, and what it answered
// before it died it answers again, byte for byte.
func TestKilledCloudDoesWhatWasAskedOnce(t *testing.T) {
	const rounds, workers, each = 6, 4, 8
	k := &killable{t: t, dir: t.TempDir()}
	k.start()
	t.Cleanup(func() { k.kill() })
	if status, b, _, err := k.post("/v1/sites", "site", `{"id":"north"}`); err != nil || status != http.StatusCreated {
		t.Fatalf("HTTP %d, %v: %s", status, err, b)
	}
	lost, unheard, answers := 0, 0, map[string][]byte{} // by key; nil: asked, and no answer came
	for round := range rounds {
		got := k.killAfter(round, workers, each, 1+5*round)
		k.start()
		for key, first := range got {
			status, b, again, err := k.post("/v1/sites/north/trigger", key, heartbeat)
			if err != nil || status != http.StatusAccepted {
				t.Fatalf("%s again: HTTP %d, %v: %s", key, status, err, b)
			}
			if first == nil {
				lost++
				if again {
					unheard++
				}
			} else if !again || !bytes.Equal(b, first) {
				t.Errorf("%s: answered %s, and after the kill (repetition: %t) %s", key, first, again, b)
			}
			answers[key] = b
		}
	}
	k.checkDirectives(answers)
	if lost == 0 {
		t.Error("no kill fell between a request and its answer: the test shows nothing")
	}
	t.Logf("%d commands; %d had no answer when the cloud was killed, %d of these had been done", len(answers), lost, unheard)
}

// killAfter sends commands from several workers and kills the cloud when so many
// were answered. It returns what each was answered, nil for no answer.
func (k *killable) killAfter(round, workers, each, answered int) map[string][]byte {
	var mu sync.Mutex
	got := map[string][]byte{}
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := range each {
				key := fmt.Sprintf("%d-%d-%d", round, worker, i)
				status, b, _, err := k.post("/v1/sites/north/trigger", key, heartbeat)
				mu.Lock()
				if got[key] = b; err != nil || status != http.StatusAccepted {
					got[key] = nil
				} else if answered--; answered == 0 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	k.kill()
	wg.Wait()
	return got
}

// checkDirectives wants one directive for each answer, and no other.
func (k *killable) checkDirectives(answers map[string][]byte) {
	want := map[string]bool{}
	for key, b := range answers {
		var q server.Queued
		if err := json.Unmarshal(b, &q); err != nil || want[q.Directive] {
			k.t.Errorf("%s: %s, %v", key, b, err)
		}
		want[q.Directive] = true
	}
	req, err := http.NewRequest(http.MethodGet, k.api+"/v1/directives?limit=1000", nil)
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+k.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	var list server.List[cloud.Directive]
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		k.t.Fatal(err)
	}
	for _, d := range list.Items {
		if d.Kind == "charger.trigger" && !want[d.ID] {
			k.t.Errorf("directive %s is there and was never answered: a command counts twice", d.ID)
		}
		delete(want, d.ID)
	}
	if len(want) > 0 {
		k.t.Errorf("%d directives were answered and are not there", len(want))
	}
}

package agent
import ("testing";"time";"fmt")
func TestDbg(t *testing.T){
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	d := start(t, cfg)
	d.until("readiness", func(r *Report) bool { return r.Link=="SYNCING" })
	time.Sleep(300*time.Millisecond)
	d.end()
	s := d.log.String()
	fmt.Println(s[:min(len(s),1500)])
	fmt.Println(len(b.received))
	for k,v:=range b.received { fmt.Println(k,len(v)) }
}

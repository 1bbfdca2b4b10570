// Package weaviate connects collections of a Weaviate cluster: those where each tenant is a Weaviate tenant, and those that all
// tenants share, where a property names the tenant.
//
// Weaviate has no snapshots. A snapshot is a copy made in one pass (see package spool): each object is in it once, as it was
// when the pass came by, between the watermark's time and its position. A tenant that is inactive or offloaded is
// activated to be read, and stays so: who deactivates idle tenants will do so again.
package weaviate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	client "github.com/weaviate/weaviate-go-client/v5/weaviate"
	clientfault "github.com/weaviate/weaviate-go-client/v5/weaviate/fault"

	"tenure/services/connectors"
	"tenure/services/connectors/remote"
)

// Config says where the tenants' vectors are.
type Config struct {
	// URL is the cluster's address without a path: "https://host:port".
	URL string
	// APIKey may be empty for a cluster that lets everybody in.
	APIKey      string
	Collections []Collection
	// Class is the data class that the retention policy knows the store by.
	Class string
}

// Collection is one collection. Its names go into statements: the data map's schema holds them to Weaviate's own rules.
type Collection struct {
	Name string
	// Kind is what an archive calls the objects; "" keeps them out of exports, never out of erasure.
	Kind string
	// Tenant is the property that holds the tenant's id; "" in a collection with multi-tenancy, whose Weaviate tenants are named
	// by the tenants' ids.
	Tenant string
	// Subject is the property that holds the key of the person whose object it is; "" when there is none.
	Subject string
}

// settles is how often replicas compare notes when nothing else tells them (ASYNC_REPLICATION_FREQUENCY's default).
const settles = 30 * time.Second

// answerTimeout bounds the wait for one answer.
const answerTimeout = time.Minute

// Store is a connectors.Connector.
type Store struct {
	name string
	cfg  Config
	http *http.Client
	page int // how many ids one query lists; see walkIDs

	connecting sync.Mutex
	connected  *client.Client
}

// New connects a cluster's collections. It asks nobody.
func New(name string, cfg Config) (*Store, error) {
	at, err := url.Parse(cfg.URL)
	if err != nil || at.Host == "" || strings.Trim(at.Path, "/") != "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, errors.New("the address of Weaviate must be like https://host:port") // not its text: it may hold a password
	}
	cfg.URL = at.Scheme + "://" + at.Host
	return &Store{name: name, cfg: cfg, http: remote.NewClient(answerTimeout), page: maxResults}, nil
}

// Name is the store's name in the data map.
func (s *Store) Name() string { return s.name }

// Traits tells the collections.
func (s *Store) Traits() connectors.Traits {
	t := connectors.Traits{Kind: "weaviate", Settles: settles, Class: s.cfg.Class}
	for _, c := range s.cfg.Collections {
		target := "collection " + c.Name
		if c.Tenant == "" {
			target = "tenant {tenant} of collection " + c.Name
		}
		t.Targets = append(t.Targets, target)
		t.Subjects = t.Subjects || c.Subject != ""
	}
	return t
}

// Count tells the objects in each collection.
func (s *Store) Count(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.each(ctx, "count", of, s.count)
}

// Verify is Count: Weaviate gives back no object that was deleted.
func (s *Store) Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.Count(ctx, of)
}

// Bytes reckons from the first objects of each collection.
func (s *Store) Bytes(ctx context.Context, of connectors.Scope) (int64, error) {
	sizes, err := s.each(ctx, "measure", of, s.estimate)
	return sizes.Total(), err
}

// each adds up what fn answers for the scope's objects in each collection.
func (s *Store) each(ctx context.Context, action string, of connectors.Scope, fn func(context.Context, selection) (int64, error)) (connectors.Counts, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	counts := connectors.Counts{}
	for _, c := range s.cfg.Collections {
		if of.Subject != "" && c.Subject == "" {
			continue
		}
		counts[c.Name] = 0
		objects, there, err := s.find(ctx, c, of)
		if err == nil && there {
			counts[c.Name], err = fn(ctx, objects)
		}
		if err != nil {
			return counts, s.wrap(action+" "+c.Name, of, err)
		}
	}
	return counts, nil
}

// connect makes the client at the first call that reaches the server: it asks for the server's version when it is made, and
// having got none it would leave the collection out of its requests.
func (s *Store) connect(ctx context.Context) (*client.Client, error) {
	s.connecting.Lock()
	defer s.connecting.Unlock()
	if s.connected != nil {
		return s.connected, nil
	}
	if _, err := s.get(ctx, "/v1/meta", nil); err != nil {
		return nil, err
	}
	at, err := url.Parse(s.cfg.URL)
	if err != nil {
		return nil, err
	}
	cfg := client.Config{Scheme: at.Scheme, Host: at.Host, ConnectionClient: s.http}
	if s.cfg.APIKey != "" {
		cfg.Headers = map[string]string{"Authorization": "Bearer " + s.cfg.APIKey}
	}
	s.connected, err = client.NewClient(cfg)
	return s.connected, err
}

// get asks for what the client cannot tell apart from a failure. It answers the server's time, to the second.
func (s *Store) get(ctx context.Context, path string, into any) (time.Time, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.URL+path, http.NoBody)
	if err != nil {
		return time.Time{}, err
	}
	if s.cfg.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+s.cfg.APIKey)
	}
	resp, err := remote.Do(s.http, req)
	if err != nil {
		return time.Time{}, err
	}
	defer resp.Body.Close()
	if err := remote.Check(resp); err != nil {
		return time.Time{}, err
	}
	if into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			return time.Time{}, err
		}
	}
	return http.ParseTime(resp.Header.Get("Date"))
}

func (s *Store) wrap(action string, of connectors.Scope, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store %s: %s: %w", s.name, action, remote.Hide(remote.Classify(opened(err)), of))
}

// opened takes the client's error apart, which keeps its cause to itself.
func opened(err error) error {
	var e *clientfault.WeaviateClientError
	switch {
	case !errors.As(err, &e):
		return err
	case e.DerivedFromError != nil:
		return opened(e.DerivedFromError)
	}
	return &remote.StatusError{Status: e.StatusCode, Text: e.Msg}
}

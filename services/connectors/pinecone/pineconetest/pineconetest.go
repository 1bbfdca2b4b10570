// Package pineconetest is an index of Pinecone's for tests: it keeps namespaces, pages its lists, lags behind and fails like the
// real one, which cannot be run. It speaks gRPC by the service description that the official client carries, and its answers
// are built as the client's own generated messages, so that it cannot answer what Pinecone's published API does not have.
package pineconetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	_ "github.com/pinecone-io/go-pinecone/v5/pinecone" // registers the service and its messages
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
)

// APIKey is what calls must bring.
const APIKey = "test-key"

// Dimension of the index.
const Dimension = 3

// Index is a running index. Its methods may be called from any goroutine.
type Index struct {
	// Host is its address.
	Host string

	mu     sync.Mutex
	now    namespaces
	seen   namespaces // what reads see while they lag
	calls  int
	every  int
	answer error
}

// namespaces have vectors by their ids.
type namespaces map[string]map[string]vector

// Start runs an empty index until the test ends.
func Start(t testing.TB) *Index {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	found, err := protoregistry.GlobalFiles.FindDescriptorByName("VectorService")
	if err != nil {
		t.Fatal(err)
	}
	i := &Index{Host: "http://" + l.Addr().String(), now: namespaces{}}
	service := found.(protoreflect.ServiceDescriptor)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		return i.serve(service, stream)
	}))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return i
}

// FailEvery makes every n-th call fail with a code, with the pause that Pinecone asks for. 0 ends it.
func (i *Index) FailEvery(n int, code codes.Code, pause time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	failure, err := status.New(code, "injected").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(pause)})
	if err != nil {
		panic(err)
	}
	i.every, i.answer = n, failure.Err()
}

// Lag makes reads see what is there now, whatever is written, until Settle.
func (i *Index) Lag() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen = namespaces{}
	for name, vectors := range i.now {
		i.seen[name] = maps.Clone(vectors)
	}
}

// Settle makes reads see all that was written.
func (i *Index) Settle() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen = nil
}

// Names are the namespaces that there are.
func (i *Index) Names() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return sortedKeys(i.now)
}

// serve answers one call.
func (i *Index) serve(service protoreflect.ServiceDescriptor, stream grpc.ServerStream) error {
	path, _ := grpc.MethodFromServerStream(stream)
	method := service.Methods().ByName(protoreflect.Name(path[len("/"+string(service.FullName())+"/"):]))
	if method == nil {
		return status.Error(codes.Unimplemented, path)
	}
	request, err := newMessage(method.Input())
	if err != nil {
		return err
	}
	if err := stream.RecvMsg(request.Interface()); err != nil {
		return err
	}
	sent, err := protojson.Marshal(request.Interface())
	if err != nil {
		return err
	}
	answer, err := i.call(stream.Context(), string(method.Name()), sent)
	if err != nil {
		return err
	}
	response, err := newMessage(method.Output())
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal(encoded, response.Interface()); err != nil {
		return fmt.Errorf("the fake answers what Pinecone's API does not have: %w", err)
	}
	return stream.SendMsg(response.Interface())
}

// newMessage is a message of the client's own type.
func newMessage(of protoreflect.MessageDescriptor) (protoreflect.Message, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(of.FullName())
	if err != nil {
		return nil, err
	}
	return t.New(), nil
}

func (i *Index) call(ctx context.Context, method string, sent []byte) (any, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls++
	if i.every > 0 && i.calls%i.every == 0 {
		return nil, i.answer
	}
	headers, _ := metadata.FromIncomingContext(ctx)
	if key := headers.Get("api-key"); len(key) != 1 || key[0] != APIKey {
		return nil, status.Error(codes.Unauthenticated, "Invalid API Key")
	}
	var r request
	if err := json.Unmarshal(sent, &r); err != nil {
		return nil, err
	}
	seen := i.now
	if i.seen != nil {
		seen = i.seen
	}
	switch method {
	case "Upsert":
		return i.now.upsert(r)
	case "Delete":
		return i.now.delete(r)
	case "DeleteNamespace":
		return i.now.deleteNamespace(r)
	case "DescribeNamespace":
		return seen.describe(r)
	case "List":
		return seen.list(r)
	case "Fetch":
		return seen.fetch(r)
	case "FetchByMetadata":
		return seen.fetchByMetadata(r)
	}
	return nil, status.Error(codes.Unimplemented, method)
}

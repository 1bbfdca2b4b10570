package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"tenure/services/connectors"
	"tenure/shared/fault"
)

// Settings reach an S3 server. An empty field is looked for where the AWS SDK always looks: shared files, the
// machine's role.
type Settings struct {
	Endpoint  string
	Region    string
	AccessKey string
	SecretKey string
}

// SettingsFromEnv reads the customary AWS_* variables.
func SettingsFromEnv(getenv func(string) string) Settings {
	return Settings{
		Endpoint:  cmp.Or(getenv("AWS_ENDPOINT_URL_S3"), getenv("AWS_ENDPOINT_URL")),
		Region:    getenv("AWS_REGION"),
		AccessKey: getenv("AWS_ACCESS_KEY_ID"),
		SecretKey: getenv("AWS_SECRET_ACCESS_KEY"),
	}
}

// NewClient makes a client that speaks path-style, which every S3 server understands. It connects at the first call.
func NewClient(ctx context.Context, s Settings) (*awss3.Client, error) {
	var options []func(*config.LoadOptions) error
	if s.Region != "" {
		options = append(options, config.WithRegion(s.Region))
	}
	if s.Endpoint != "" {
		options = append(options, config.WithBaseEndpoint(s.Endpoint))
	}
	if s.AccessKey != "" {
		keys := credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, "")
		options = append(options, config.WithCredentialsProvider(keys))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("S3 settings (AWS_*): %w", err)
	}
	return awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true }), nil
}

// Classify turns an error of the AWS SDK that says "down" or "too busy" into a fault.RetryAfter and leaves the rest.
func Classify(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if status := statusOf(err); status >= 500 || status == http.StatusTooManyRequests || isUnreachable(err) {
		return fault.RetryAfter(err, connectors.RetryDelay)
	}
	return err
}

// isUnreachable reports whether the server did not answer, or not to the end.
func isUnreachable(err error) bool {
	var unsent *smithyhttp.RequestSendError
	var network net.Error
	return errors.As(err, &unsent) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF)
}

// statusOf is the HTTP status of the server's answer, or 0 when there was none.
func statusOf(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// code is the S3 error code, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

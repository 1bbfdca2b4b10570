package datamap

import (
	"context"

	"tenure/services/connectors"
	"tenure/services/connectors/s3"
)

// S3 is one prefix of a bucket; see s3.Config.
type S3 struct {
	BucketEnv string `yaml:"bucket_env"`
	Prefix    string `yaml:"prefix"`
	Kind      string `yaml:"kind"`
}

func (p *S3) open(ctx context.Context, s Store, env func(string) string) (connectors.Connector, error) {
	bucket, err := lookUp(env, p.BucketEnv)
	if err != nil {
		return nil, err
	}
	client, err := s3.NewClient(ctx, s3.SettingsFromEnv(env))
	if err != nil {
		return nil, err
	}
	return s3.New(s.Name, client, s3.Config{Bucket: bucket, Prefix: p.Prefix, Kind: p.Kind, Class: s.Class}), nil
}

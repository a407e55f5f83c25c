defmodule Plugins.MixProject do
  use Mix.Project

  def project do
    [
      app: :plugins,
      version: "0.1.0",
      elixir: "~> 1.14",
      deps: [{:exosuit, path: "../.."}]
    ]
  end

  def application, do: [mod: {Plugins.Application, []}, extra_applications: [:logger]]
end

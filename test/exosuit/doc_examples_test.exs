defmodule Exosuit.DocExamplesTest do
  # The examples in the docs of modules that have no test file of their own. Those that have one run there.
  use ExUnit.Case, async: true

  doctest Exosuit.App.Changes
  doctest Exosuit.App.Keys
  doctest Exosuit.App.Machine.Failure
  doctest Exosuit.App.Machine.Handover
  doctest Exosuit.App.Machine.Members
  doctest Exosuit.App.Machine.Records
  doctest Exosuit.App.Machine.Report
  doctest Exosuit.App.Machine.Slots
  doctest Exosuit.App.Model.Shape
  doctest Exosuit.Control.Wadm.Probe
  doctest Exosuit.Error
  doctest Exosuit.Event
  doctest Exosuit.Event.Types
  doctest Exosuit.Host.ActorOptions
  doctest Exosuit.Host.Facts
  doctest Exosuit.Host.LinkChange
  doctest Exosuit.Host.LinkOptions
  doctest Exosuit.Host.LinkTable
  doctest Exosuit.Host.Pending
  doctest Exosuit.Host.Unattended
  doctest Exosuit.Input
  doctest Exosuit.Model.ActorSpecification
  doctest Exosuit.Lattice.Local.Handle
  doctest Exosuit.Lattice.Local.Log
  doctest Exosuit.Lattice.Store
  doctest Exosuit.Model.Artifact
  doctest Exosuit.Model.Configuration
  doctest Exosuit.Model.Digest
  doctest Exosuit.Model.Grants
  doctest Exosuit.Model.Labels
  doctest Exosuit.Model.Link
  doctest Exosuit.Options
  doctest Exosuit.Protocol.Envelope
  doctest Exosuit.Protocol.Events
  doctest Exosuit.Protocol.Otp.Claims
  doctest Exosuit.Protocol.Otp.Commands
  doctest Exosuit.Protocol.Otp.Configuration
  doctest Exosuit.Protocol.Otp.Records
  doctest Exosuit.Protocol.Record
  doctest Exosuit.Protocol.Schema
  doctest Exosuit.Protocol.Short
  doctest Exosuit.Protocol.Socket.Commands
  doctest Exosuit.Protocol.Socket.Lines
  doctest Exosuit.Protocol.V1.Commands
  doctest Exosuit.Protocol.V1.Records
  doctest Exosuit.Protocol.Wadm.Commands
  doctest Exosuit.Protocol.Wadm.Replies
  doctest Exosuit.Protocol.Wadm.Status
end
